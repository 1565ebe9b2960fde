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
from google.longrunning import operations_pb2
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
    "redis.v1": ("google.cloud.redis_v1.services.cloud_redis",),
    "networkmanagement.v1": ("google.cloud.network_management_v1.services.reachability_service",),
}
"""The packages of the services that are offered by gRPC."""
COMMON: Mapping[str, tuple[type[Message], type[Message]]] = {
    "/google.longrunning.Operations/GetOperation": (operations_pb2.GetOperationRequest, operations_pb2.Operation),
    "/google.longrunning.Operations/ListOperations": (
        operations_pb2.ListOperationsRequest,
        operations_pb2.ListOperationsResponse,
    ),
    "/google.cloud.location.Locations/ListLocations": (
        locations_pb2.ListLocationsRequest,
        locations_pb2.ListLocationsResponse,
    ),
}
"""Procedures that several APIs have: it makes no difference by which of them they are asked."""
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
    for api, modules in SERVICES.items():
        for name in modules:
            for rpc in _of(api, name):
                known = found.setdefault(rpc.path, rpc)
                if rpc.path in COMMON:  # their names differ: `operations/ID`, `projects/P/locations/L/operations/ID`
                    found[rpc.path] = replace(known, http=(*known.http, *rpc.http))
    return found


def _of(api: str, package: str) -> Iterator[Rpc]:
    transports = importlib.import_module(f"{package}.transports.grpc")
    base = importlib.import_module(f"{package}.transports.rest_base")
    made = next(value for name, value in vars(transports).items() if name.endswith("GrpcTransport"))
    notes, options = _Notes(), dict(_options(base))
    transport = made(channel=notes)
    # It has wrapped the channel by now, and made its procedures of that: once more, without.
    transport._logged_channel, transport._stubs = notes, {}  # noqa: SLF001
    for name in options:
        getattr(transport, snake(name).lower(), None)  # a property: it makes the procedure
    for path, (serializer, deserializer) in notes.noted.items():
        name = path.rpartition("/")[2]
        if name in options and hasattr(serializer, "__self__"):
            yield Rpc(path, api, _type(serializer), _type(deserializer), options[name])
    for path, (request, response) in COMMON.items():
        if (name := path.rpartition("/")[2]) in options:
            yield Rpc(path, api, request, response, options[name])


def _options(base: Any) -> Iterator[tuple[str, Sequence[Mapping[str, str]]]]:
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
def _names() -> Mapping[tuple[str, str], str]:
    """The procedure of each REST method, by API and method id."""
    router = MethodRouter(tuple(SERVICES))
    found: dict[tuple[str, str], str] = {}
    for rpc in rpcs().values():
        for binding in rpc.http:
            path = _PLACE.sub(lambda place: place[2].replace("**", "x").replace("*", "x"), binding["uri"]).lstrip("/")
            match = router.find(binding["method"].upper(), path, rpc.api.split(".")[0])
            if match and match.method.api == rpc.api:
                found.setdefault((rpc.api, match.method.id), rpc.path.lstrip("/").replace("/", "."))
    return found


def rpc_name(method: Method) -> str | None:
    """The full name of a method's procedure: `google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector`."""
    return _names().get((method.api, method.id)) or _UNPUBLISHED.get((method.api, method.id))


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
    for rpc in rpcs().values():
        if rpc.api == api:
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
