"""Whatever is sent, in the shape of the discovery documents or not: no 500, no hang, and a refusal changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.api import services
from testbed.api.calls.call import handler_of
from testbed.api.contract.discovery import APIS, Method, document
from testbed.api.contract.schema import is_output
from testbed.json_object import Json
from tests.api import harness
from tests.api.furnished import NAME, NAMES, furnish
from tests.sample import size

REQUESTS = size(300, 20_000)
services.register_all()
_LEFT_OUT = {"wait", "run"}
"""What has to be waited for, and what needs nodes: executions of jobs."""
METHODS = [
    method for api in APIS for method in document(api).methods if handler_of(method) and method.action not in _LEFT_OUT
]
_NAMES = st.sampled_from(NAMES)
_WORDS = st.sampled_from([
    "demo", "us-central1", "us-central1-a", NAME, "default", "c1", "a", "-", "", "10.8.0.0/28", "10.0.0.0/8",
    "0.0.0.0/0", "10.0.0.1", "tcp", "80", "99999999999999999999", "projects/demo/global/networks/a1", "ü",
    "europe-west1", "x" * 300,
    "projects/demo/locations/us-central1/connectors/c1", "testbed/vm", "*", "https://www.googleapis.com/compute/v1/",
])  # fmt: skip
_PLACES = {"project": "demo", "projectsId": "demo", "region": "us-central1", "zone": "us-central1-a"}
_DEEPEST = 3


def _value(schemas: dict[str, Json], schema: Json, depth: int) -> st.SearchStrategy[Any]:
    """A value that a schema allows, and now and then one that it does not."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    kind = schema.get("type")
    if kind == "object" and depth < _DEEPEST:
        properties = {
            key: _value(schemas, inner, depth + 1)
            for key, inner in schema.get("properties", {}).items()
            if not is_output(inner)
        }
        return st.fixed_dictionaries({}, optional=properties) if properties else st.just({})
    if kind == "array":
        return st.lists(_value(schemas, schema["items"], depth + 1), max_size=2)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    simple: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(-1, 70_000),
        "boolean": st.booleans(),
        "number": st.floats(0, 1),
        "object": st.just({}),
    }
    return (
        st.one_of(simple.get(str(kind), _WORDS), st.sampled_from([None, "", 7, {}]))
        if depth == 0
        else (simple.get(str(kind), _WORDS))
    )


class Request(NamedTuple):
    """What is sent."""

    method: Method
    path: str
    query: list[tuple[str, str]]
    body: Json | None


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A method that is served, and something to call it with."""
    method = draw(st.sampled_from(METHODS))
    path = method.path
    for name, schema in method.parameters.items():
        pattern = schema.get("pattern", "")
        filled = _named(draw, pattern) if f"{{+{name}}}" in path else _PLACES.get(name) or draw(_NAMES)
        path = path.replace(f"{{+{name}}}", filled).replace(f"{{{name}}}", filled)
    own = [name for name, schema in method.parameters.items() if schema.get("location") == "query" and name != "alt"]
    query = (
        [(name, draw(_WORDS)) for name in draw(st.lists(st.sampled_from(own), max_size=2, unique=True))] if own else []
    )
    body: Any = None
    if method.request:
        schemas = dict(document(method.api).schemas)
        body = draw(_value(schemas, {"$ref": method.request}, 0))
        if isinstance(body, dict) and "name" in schemas[method.request].get("properties", {}) and draw(st.booleans()):
            body["name"] = draw(_NAMES)
    return Request(method, path, query, body)


def _named(draw: st.DrawFn, pattern: str) -> str:
    """A name in the shape of a parameter's pattern, `^projects/[^/]+/locations/[^/]+$`."""
    parts, previous = [], ""
    for part in pattern.removeprefix("^").removesuffix("$").replace("/[^/]+", "/*").split("/"):
        known = {"projects": "demo", "namespaces": "demo", "apps": "demo", "locations": "us-central1"}
        previous = part if part != "*" else known.get(previous) or draw(_NAMES)
        parts.append(previous)
    return "/".join(parts).replace(".*", "a")


def _host(method: Method) -> str:
    """The host of an API; that of run v1 says the region."""
    name = method.api.split(".")[0]
    region = "us-central1-" if method.path.startswith("apis/") else ""
    return f"{region}{name}.googleapis.com"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Api]:
    """A control plane in which nothing happens between two requests."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch, harness.api(folder, patch, threaded=False) as made:
        made.dispatcher.window = 0.0
        furnish(made)
        yield made


@pytest.mark.sampled
@pytest.mark.timeout(600 + REQUESTS // 5)
@settings(max_examples=REQUESTS, database=None, suppress_health_check=list(HealthCheck))
@given(request=requests())
def test_no_request_is_too_much(quiet: harness.Api, request: Request) -> None:
    before = quiet.plane.store.resources.all()
    text = b"" if request.body is None else json.dumps(request.body).encode()
    method = request.method
    status, answer = quiet.send(
        method.verb,
        quote(request.path, safe="/:"),
        text,
        host=_host(method),
        query=urlencode(request.query),
    )
    value = json.loads(answer) if answer.strip() else {}
    assert status < 500 or status == 501, value
    if status >= 400:
        assert value["error"]["code"] == status
        assert value["error"]["message"]
        assert quiet.plane.store.resources.all() == before
    quiet.settle()
