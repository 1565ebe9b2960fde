"""Google's published message types: what gRPC carries, and how each RPC is written as a REST request.

The client packages have no service descriptors, but their transports know all that is needed: the path and the types of
each RPC, and its `google.api.http` options.  They are asked through a channel that only takes notes.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import grpc
from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from testbed.api.contract.discovery import Method, MethodRouter
from testbed.api.contract.masks import snake

SERVICES: Mapping[str, tuple[str, ...]] = {
    "vpcaccess.v1": ("google.cloud.vpcaccess_v1.services.vpc_access_service",),
    "run.v2": tuple(
        f"google.cloud.run_v2.services.{name}" for name in ("services", "revisions", "jobs", "executions", "tasks")
    ),
    "cloudfunctions.v2": ("google.cloud.functions_v2.services.function_service",),
    "cloudfunctions.v1": ("google.cloud.functions_v1.services.cloud_functions_service",),
    "appengine.v1": tuple(
        f"google.cloud.appengine_admin_v1.services.{name}"
        for name in ("applications", "services", "versions", "instances")
    ),
    "redis.v1": ("google.cloud.redis_v1.services.cloud_redis",),
    "networkmanagement.v1": ("google.cloud.network_management_v1.services.reachability_service",),
    "cloudresourcemanager.v3": tuple(
        f"google.cloud.resourcemanager_v3.services.{name}" for name in ("projects", "folders", "organizations")
    ),
    "serviceusage.v1": ("google.cloud.service_usage_v1.services.service_usage",),
    "iam.v1": ("google.cloud.iam_admin_v1.services.iam",),
    "logging.v2": ("google.cloud.logging_v2.services.logging_service_v2",),
}
"""The packages of the services that are offered by gRPC: those whose client speaks it unless told otherwise."""
COMMON: Mapping[str, tuple[type[Message], type[Message]]] = {
    "/google.longrunning.Operations/GetOperation": (operations_pb2.GetOperationRequest, operations_pb2.Operation),
    "/google.longrunning.Operations/ListOperations": (
        operations_pb2.ListOperationsRequest,
        operations_pb2.ListOperationsResponse,
    ),
    "/google.longrunning.Operations/DeleteOperation": (operations_pb2.DeleteOperationRequest, empty_pb2.Empty),
    "/google.longrunning.Operations/WaitOperation": (operations_pb2.WaitOperationRequest, operations_pb2.Operation),
    "/google.cloud.location.Locations/ListLocations": (
        locations_pb2.ListLocationsRequest,
        locations_pb2.ListLocationsResponse,
    ),
    "/google.cloud.location.Locations/GetLocation": (locations_pb2.GetLocationRequest, locations_pb2.Location),
    "/google.iam.v1.IAMPolicy/GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
    "/google.iam.v1.IAMPolicy/SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
    "/google.iam.v1.IAMPolicy/TestIamPermissions": (
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
    ),
}
"""Procedures that several APIs have: it makes no difference by which of them they are asked."""
_OPERATIONS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "GetOperation": tuple(
        {"method": "get", "uri": uri}
        for uri in ("/v1/{name=apps/*/operations/*}", "/v3/{name=operations/cp.*}", "/v1/{name=operations/*}")
    ),
    "ListOperations": ({"method": "get", "uri": "/v1/{name=apps/*}/operations"},),
    "DeleteOperation": ({"method": "delete", "uri": "/v1/{name=operations/*}"},),
    "ListLocations": ({"method": "get", "uri": "/v1/{name=apps/*}/locations"},),
    "GetLocation": ({"method": "get", "uri": "/v1/{name=apps/*/locations/*}"},),
}
"""Bindings of common procedures that no client's package has, though its API has the methods."""
_ACCOUNT, _KEY = "/v1/{name=projects/*/serviceAccounts/*}", "/v1/{name=projects/*/serviceAccounts/*/keys/*}"
_POLICY = "/v1/{resource=projects/*/serviceAccounts/*}"
_UNWRITTEN: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "google.cloud.iam_admin_v1.services.iam": {
        "ListServiceAccounts": ("get", "/v1/{name=projects/*}/serviceAccounts"),
        "GetServiceAccount": ("get", _ACCOUNT),
        "CreateServiceAccount": ("post", "/v1/{name=projects/*}/serviceAccounts"),
        "UpdateServiceAccount": ("put", _ACCOUNT),
        "PatchServiceAccount": ("patch", "/v1/{service_account.name=projects/*/serviceAccounts/*}"),
        "DeleteServiceAccount": ("delete", _ACCOUNT),
        "EnableServiceAccount": ("post", f"{_ACCOUNT}:enable"),
        "DisableServiceAccount": ("post", f"{_ACCOUNT}:disable"),
        "ListServiceAccountKeys": ("get", f"{_ACCOUNT}/keys"),
        "GetServiceAccountKey": ("get", _KEY),
        "CreateServiceAccountKey": ("post", f"{_ACCOUNT}/keys"),
        "DeleteServiceAccountKey": ("delete", _KEY),
        "GetIamPolicy": ("post", f"{_POLICY}:getIamPolicy"),
        "SetIamPolicy": ("post", f"{_POLICY}:setIamPolicy"),
        "TestIamPermissions": ("post", f"{_POLICY}:testIamPermissions"),
        "ListRoles": ("get", "/v1/roles"),
        "GetRole": ("get", "/v1/{name=roles/*}"),
    },
    "google.cloud.logging_v2.services.logging_service_v2": {
        "ListLogEntries": ("post", "/v2/entries:list"),
        "ListLogs": ("get", "/v2/{parent=projects/*}/logs"),
    },
}
"""The HTTP bindings of the procedures of packages that have no REST transport, as far as the testbed serves them."""
_RAW: Mapping[str, type[Message]] = {
    "GetIamPolicy": iam_policy_pb2.GetIamPolicyRequest,
    "SetIamPolicy": iam_policy_pb2.SetIamPolicyRequest,
    "TestIamPermissions": iam_policy_pb2.TestIamPermissionsRequest,
}
"""The messages of procedures whose serializers do not say whose they are."""
_PLACE = re.compile(r"\{([\w.]+)=([^}]*)\}")


@dataclass(frozen=True, slots=True, eq=False)
class Rpc:
    """One remote procedure: `/google.cloud.vpcaccess.v1.VpcAccessService/CreateConnector`."""

    path: str
    api: str
    request: type[Message]
    response: type[Message]
    http: Sequence[Mapping[str, str]]
    """Its HTTP bindings: verb, URI template and the field that is the body."""


class _Notes(grpc.Channel):
    """A channel that notes which procedures it is asked for."""

    def __init__(self) -> None:
        self.noted: dict[str, tuple[Any, Any]] = {}

    def unary_unary(self, method: str, *codecs: Any, **named: Any) -> Any:
        """Note a procedure, its serializer and its deserializer."""
        serializer, deserializer, *_ = (*codecs, None, None)
        self.noted[method] = (
            named.get("request_serializer", serializer),
            named.get("response_deserializer", deserializer),
        )
        return lambda *_, **__: None

    unary_stream = stream_unary = stream_stream = unary_unary

    def subscribe(self, *_: Any, **__: Any) -> None:
        """Nothing ever happens."""

    def unsubscribe(self, *_: Any) -> None:
        """Nothing was subscribed to."""

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@cache
def rpcs() -> Mapping[str, Rpc]:
    """Every procedure that is offered by gRPC, by its path."""
    found: dict[str, Rpc] = {}
    for api in SERVICES:
        for rpc in _of_api(api):
            known = found.setdefault(rpc.path, rpc)
            if rpc.path in COMMON:  # their names differ: `operations/ID`, `projects/P/locations/L/operations/ID`
                found[rpc.path] = replace(known, http=(*known.http, *rpc.http))
    for path in found.keys() & COMMON:
        more = _OPERATIONS.get(path.rpartition("/")[2], ())
        found[path] = replace(found[path], http=(*found[path].http, *more))
    return found


@cache
def _of_api(api: str) -> tuple[Rpc, ...]:
    """The procedures of one API; its packages are read when somebody asks."""
    return tuple(rpc for package in SERVICES.get(api, ()) for rpc in _of(api, package))


def _of(api: str, package: str) -> Iterator[Rpc]:
    transports = importlib.import_module(f"{package}.transports.grpc")
    made = next(value for name, value in vars(transports).items() if name.endswith("GrpcTransport"))
    notes, options = _Notes(), dict(_options(package))
    transport = made(channel=notes)
    # It has wrapped the channel by now, and made its procedures of that: once more, without.
    transport._logged_channel, transport._stubs = notes, {}  # noqa: SLF001
    for name in options:
        getattr(transport, snake(name).lower(), None)  # a property: it makes the procedure
    for path, (serializer, deserializer) in notes.noted.items():
        name = path.rpartition("/")[2]
        request = _RAW.get(name) or (_type(serializer) if hasattr(serializer, "__self__") else None)
        if name in options and request is not None:
            yield Rpc(path, api, request, _type(deserializer), options[name])
    for path, (request, response) in COMMON.items():
        if (name := path.rpartition("/")[2]) in options:
            yield Rpc(path, api, request, response, options[name])


def _options(package: str) -> Iterator[tuple[str, Sequence[Mapping[str, str]]]]:
    if package in _UNWRITTEN:
        for name, (verb, uri) in _UNWRITTEN[package].items():
            body = {"body": "*"} if verb in {"post", "put", "patch"} else {}
            yield name, ({"method": verb, "uri": uri, **body},)
        return
    base = importlib.import_module(f"{package}.transports.rest_base")
    for _, transport in inspect.getmembers(base, inspect.isclass):
        for name, binding in inspect.getmembers(transport, inspect.isclass):
            if name.startswith("_Base") and hasattr(binding, "_get_http_options"):
                yield name.removeprefix("_Base"), binding._get_http_options()  # noqa: SLF001 - it is told nowhere else


def _type(codec: Any) -> type[Message]:
    """The protocol buffer type that a (de)serializer belongs to; proto-plus wraps it."""
    owner = codec.__self__
    found: type[Message] = owner.pb() if hasattr(owner, "pb") else owner
    return found


@cache
def _names(api: str) -> Mapping[str, str]:
    """The procedure of each REST method of an API, by the method's id."""
    router = MethodRouter((api,))
    found: dict[str, str] = {}
    for rpc in _of_api(api):
        for binding in rpc.http:
            path = _PLACE.sub(lambda place: place[2].replace("**", "x").replace("*", "x"), binding["uri"]).lstrip("/")
            match = router.find(binding["method"].upper(), path, api.split(".", maxsplit=1)[0])
            if match and match.method.api == api:
                found.setdefault(match.method.id, rpc.path.lstrip("/").replace("/", "."))
    return found


def rpc_name(method: Method) -> str | None:
    """The full name of a method's procedure: `google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector`."""
    return _names(method.api).get(method.id) or _UNPUBLISHED.get((method.api, method.id))


_VPCACCESS = "google.cloud.vpcaccess.{}.VpcAccessService.{}Connector"
_UNPUBLISHED: Mapping[tuple[str, str], str] = {
    (f"vpcaccess.{version}", f"vpcaccess.projects.locations.connectors.{verb}"): _VPCACCESS.format(version, name)
    for version in ("v1", "v1beta1")
    for verb, name in {"create": "Create", "delete": "Delete", "patch": "Update"}.items()
}
"""Procedures of which the client library has no types (behaviour 5.2.2)."""


@cache
def enums(api: str) -> Mapping[tuple[str, ...], Mapping[int, str]]:
    """The numbers of an API's enums, by their names in order: a discovery document has only these."""
    found: dict[tuple[str, ...], Mapping[int, str]] = {}
    for rpc in _of_api(api):
        seen: set[str] = set()
        for enum in (*_enums(rpc.request.DESCRIPTOR, seen), *_enums(rpc.response.DESCRIPTOR, seen)):
            found[tuple(value.name for value in enum.values)] = {v.number: v.name for v in enum.values}
    return found


def _enums(message: Any, seen: set[str]) -> Iterator[Any]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        if field.enum_type is not None:
            yield field.enum_type
        if field.message_type is not None:
            yield from _enums(field.message_type, seen)
