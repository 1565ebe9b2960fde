"""What REST serves, gRPC serves as well, and alike: for each API whose published client calls by gRPC."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from testbed.api import services
from testbed.api.callers.identity import OWNER
from testbed.api.calls.call import handler_of
from testbed.api.contract import errors
from testbed.api.contract.bindings import COMMON, Binding
from testbed.api.contract.discovery import APIS, Method, document
from testbed.api.contract.messages import CLIENTS, Rpc, find, load_types, rpc_name, rpcs
from testbed.api.wire.rpc import Bridge
from tests.api.furnished import furnish
from tests.api.harness import Api
from tests.api.test_appengine import VERSIONS, version
from tests.api.test_rpc import Context

services.register_all()
REST_ONLY = {
    "vpcaccess.v1beta1": "the published client has v1 only",
    "compute.v1": "google-cloud-compute knows REST only",
    "run.v1": "Knative's API is REST only",
    "dns.v1": "google-cloud-dns knows REST only",
    "dns.v1beta2": "google-cloud-dns knows REST only",
    "servicenetworking.v1": "no client library is published",
    "serviceusage.v1beta1": "the published client has v1 only",
    "cloudresourcemanager.v1": "the published client has v3 only",
    "storage.v1": "google-cloud-storage calls by REST",
}
WITHOUT = {
    "vpcaccess.projects.locations.connectors.patch": "the published client cannot change a connector",
    "appengine.apps.listRuntimes": "the published client has no such procedure",
    "logging.projects.logs.list": "ListLogs is logs.list, which has the same path",
}
"""Methods of the other APIs that no procedure is written as."""
AMBIGUOUS = {
    "cloudfunctions.projects.locations.operations.list",
    "networkmanagement.projects.locations.list",
    "redis.projects.locations.operations.list",
    "run.projects.locations.operations.list",
}
"""Lists that several APIs have at one path.  A request by gRPC does not say which is meant: the first one answers."""
SERVED = [method for api in CLIENTS for method in document(api).methods if handler_of(method)]
_PROJECT = "demo"
_NAMES = {
    "projects": _PROJECT,
    "apps": _PROJECT,
    "locations": "us-central1",
    "connectors": "c1",
    "services": "s1",
    "jobs": "a1",
    "instances": "r1",
    "serviceAccounts": "a1-account@demo.iam.gserviceaccount.com",
    "roles": "viewer",
}
_APPENGINE = {"services": "default", "versions": "v1", "locations": "us-central"}
_QUERIES = {"serviceusage.services.batchGet": [("names", "projects/demo/services/run.googleapis.com")]}


def test_every_api_is_offered_by_grpc_or_says_why_not() -> None:
    assert {*CLIENTS, *REST_ONLY} == set(APIS)
    assert not {*CLIENTS} & {*REST_ONLY}


def test_every_method_has_its_procedure_or_says_why_not() -> None:
    procedures = {name.replace(".", "/") for api in CLIENTS for name in _procedures(api)}
    assert {m.id for m in SERVED if (rpc_name(m) or "").replace(".", "/") not in procedures} == set(WITHOUT)


def _procedures(api: str) -> set[str]:
    return {path.lstrip("/") for path in (*rpcs(api), *COMMON)}


@pytest.fixture
def furnished(api: Api) -> Api:
    furnish(api)
    api.post("v1/apps", {"id": _PROJECT, "locationId": "us-central"})
    api.post(VERSIONS, version(api))
    return api


def test_what_only_reads_answers_alike_by_both(furnished: Api) -> None:
    reads = [method for method in SERVED if method.verb == "GET" and method.id not in WITHOUT]
    assert len(reads) > 60
    outcomes = {method.id: _both(furnished, method) for method in reads}
    assert {name for name, both in outcomes.items() if both[0] != both[1]} == set(AMBIGUOUS)
    assert sum(isinstance(rest, Message) for rest, _ in outcomes.values()) > 45  # and not all of them are refusals


def _both(api: Api, method: Method) -> tuple[Message | int, Message | int]:
    """What a method answers by REST and by gRPC: the same message, or the same refusal."""
    path, query = _path(method), _QUERIES.get(method.id, [])
    rpc = find("/" + "/".join((rpc_name(method) or "").rsplit(".", 1)))
    assert rpc is not None, method.id
    name = method.api.partition(".")[0]
    status, text = api.send("GET", path, host=f"{name}.googleapis.com", query=urlencode(query))
    answer = json.loads(text or b"{}")
    if status >= 400:
        rest: Message | int = int(answer["error"]["code"])
    else:
        load_types(answer)
        rest = json_format.ParseDict(answer, rpc.response(), ignore_unknown_fields=True)
    return rest, _by_grpc(api, rpc, f"/{path}", dict(query))


def _by_grpc(api: Api, rpc: Rpc, path: str, query: dict[str, str]) -> Message | int:
    fields = next(found for binding in rpc.http if (found := _fields(binding, path)) is not None)
    request = rpc.request()
    for field, value in fields.items():
        setattr(request, field, value)
    for field, value in query.items():
        getattr(request, field).append(value)
    context = Context()
    bridge = Bridge(api.dispatcher, lambda _: OWNER)
    answer: Any = asyncio.run(bridge._answer(rpc, request.SerializeToString(), context))
    return answer if answer is not None else errors.HTTP[context.status.code.name]


def _fields(binding: Binding, path: str) -> dict[str, str] | None:
    """What a binding reads out of a path."""
    parts = re.split(r"\{(\w+)=([^}]*)\}", binding["uri"])
    pattern = "".join(
        re.escape(part) if i % 3 == 0 else f"(?P<{part}>" if i % 3 == 1 else _glob(part) + ")"
        for i, part in enumerate(parts)
    )
    found = re.fullmatch(pattern, path)
    return found.groupdict() if found and binding["method"] == "get" else None


def _glob(glob: str) -> str:
    return glob.replace("**", ".+").replace("*", "[^/]+")


def _path(method: Method) -> str:
    """The path of something that is there, of every kind that the project has."""
    names = {**_NAMES, **(_APPENGINE if method.api == "appengine.v1" else {})}
    path = method.path
    for name, schema in method.parameters.items():
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", names.get(name.removesuffix("Id"), "x"))
        elif f"{{+{name}}}" in path:
            path = path.replace(f"{{+{name}}}", _named(str(schema["pattern"]), names))
    return path


def _named(pattern: str, names: dict[str, str]) -> str:
    parts: list[str] = []
    for part in pattern.strip("^$").replace("[^/]+", "*").replace(".*", "*").split("/"):
        parts.append(names.get(parts[-1] if parts else "", "x") if part == "*" else part)
    return "/".join(parts)
