"""Google's published message types: what gRPC carries, and how each RPC is written as a REST request.

The client packages have no service descriptors, but their transports know all that is needed: the path and the types of
each RPC, and its `google.api.http` options.  They are asked through a channel that only takes notes.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, Self, get_args, get_origin

import grpc
from google.protobuf.message import Message

from testbed.api.contract.bindings import COMMON, Binding, of_common, of_grpc_only
from testbed.api.contract.discovery import Method, MethodRouter

_LOADING = threading.RLock()


class Client(NamedTuple):
    """The published client of an API."""

    package: str
    """Its Python package."""
    protocol: str
    """The protocol buffer package of its services and messages."""


CLIENTS: Mapping[str, Client] = {
    "vpcaccess.v1": Client("google.cloud.vpcaccess_v1", "google.cloud.vpcaccess.v1"),
    "run.v2": Client("google.cloud.run_v2", "google.cloud.run.v2"),
    "cloudfunctions.v2": Client("google.cloud.functions_v2", "google.cloud.functions.v2"),
    "cloudfunctions.v1": Client("google.cloud.functions_v1", "google.cloud.functions.v1"),
    "appengine.v1": Client("google.cloud.appengine_admin_v1", "google.appengine.v1"),
    "redis.v1": Client("google.cloud.redis_v1", "google.cloud.redis.v1"),
    "networkmanagement.v1": Client("google.cloud.network_management_v1", "google.cloud.networkmanagement.v1"),
    "serviceusage.v1": Client("google.cloud.service_usage_v1", "google.api.serviceusage.v1"),
    "cloudresourcemanager.v3": Client("google.cloud.resourcemanager_v3", "google.cloud.resourcemanager.v3"),
    "iam.v1": Client("google.cloud.iam_admin_v1", "google.iam.admin.v1"),
    "logging.v2": Client("google.cloud.logging_v2", "google.logging.v2"),
    "cloudbuild.v1": Client("google.cloud.devtools.cloudbuild_v1", "google.devtools.cloudbuild.v1"),
}
"""The APIs that are offered by gRPC: those whose published client calls by gRPC unless it is told otherwise."""
_PLACE = re.compile(r"\{([\w.]+)=([^}]*)\}")


@dataclass(frozen=True, slots=True, eq=False)
class Rpc:
    """One remote procedure: `/google.cloud.vpcaccess.v1.VpcAccessService/CreateConnector`."""

    path: str
    api: str | None
    """The version of the API that it belongs to; None if several have it."""
    request: type[Message]
    response: type[Message]
    http: Sequence[Binding]


class _Noted:
    """What a transport takes for a procedure that it can call."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, *_: object, **__: object) -> None:
        """Nobody is called."""


class _Notes(grpc.Channel):
    """A channel whose procedures are no more than their paths."""

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        """A procedure."""
        return _Noted(method)

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


def find(path: str) -> Rpc | None:
    """A procedure by its path; None if no published client has it, or the testbed cannot write it as a request."""
    if path in COMMON:
        return _common(path)
    protocol = path.lstrip("/").rpartition("/")[0].rpartition(".")[0]
    return next((rpcs(api).get(path) for api, client in CLIENTS.items() if client.protocol == protocol), None)


@cache
def rpcs(api: str) -> Mapping[str, Rpc]:
    """The procedures of one API by their paths; its package is loaded when they are first asked for."""
    if api not in CLIENTS:
        return {}
    services = _module(f"{CLIENTS[api].package}.services")
    return {
        rpc.path: rpc
        for module in pkgutil.iter_modules(services.__path__)
        for rpc in _of(api, f"{services.__name__}.{module.name}")
    }


def _module(name: str) -> ModuleType:
    """A module of a client.  Two threads that load a package whose modules import each other would see a part of it."""
    with _LOADING:
        return importlib.import_module(name)


def load_types(value: object) -> None:
    """Load the messages that an answer names by `@type`: an `Any` takes only what is loaded."""
    if isinstance(value, dict):
        protocol = str(value.get("@type", "")).rpartition("/")[2].rpartition(".")[0]
        for client in CLIENTS.values():
            if client.protocol == protocol:
                _module(client.package)
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            load_types(one)


@cache
def _common(path: str) -> Rpc:
    common = COMMON[path]
    return Rpc(path, None, common.request, common.response, of_common(path, tuple(CLIENTS)))


def _of(api: str, package: str) -> Iterator[Rpc]:
    transports = _module(f"{package}.transports.grpc")
    made = next(value for name, value in vars(transports).items() if name.endswith("GrpcTransport"))
    options = dict(_options(f"{package}.transports.rest_base"))
    notes = _Notes()
    transport = made(channel=notes)
    # It has wrapped the channel by now, and made its procedures of that: once more, without.
    transport._logged_channel, transport._stubs = notes, {}  # noqa: SLF001
    for name, attribute in vars(made).items():
        kind = attribute.fget.__annotations__.get("return") if isinstance(attribute, property) else None
        if get_origin(kind) is not Callable:
            continue
        path = getattr(transport, name).path  # the property makes the procedure
        (request,), response = get_args(kind)
        http = options.get(path.rpartition("/")[2]) or of_grpc_only(path)
        if http and path not in COMMON:
            yield Rpc(path, api, _type(request), _type(response), http)


def _options(module: str) -> Iterator[tuple[str, Sequence[Binding]]]:
    """The HTTP bindings that a client's REST transport has; a client that knows gRPC only has no such transport."""
    if importlib.util.find_spec(module) is None:
        return
    for _, transport in inspect.getmembers(_module(module), inspect.isclass):
        for name, binding in inspect.getmembers(transport, inspect.isclass):
            if name.startswith("_Base") and hasattr(binding, "_get_http_options"):
                yield name.removeprefix("_Base"), binding._get_http_options()  # noqa: SLF001 - it is told nowhere else


def _type(message: Any) -> type[Message]:
    """The protocol buffer type of a message; proto-plus wraps it."""
    found: type[Message] = message.pb() if hasattr(message, "pb") else message
    return found


@cache
def _names(api: str) -> Mapping[str, str]:
    """The procedure of each REST method, by the method's id."""
    router = MethodRouter((api,))
    found: dict[str, str] = {}
    common = ((path, of_common(path, (api,))) for path in COMMON)
    for path, http in (*((rpc.path, rpc.http) for rpc in rpcs(api).values()), *common):
        for binding in http:
            uri = _PLACE.sub(lambda place: place[2].replace("**", "x").replace("*", "x"), binding["uri"]).lstrip("/")
            if match := router.find(binding["method"].upper(), uri):
                found.setdefault(match.method.id, path.lstrip("/").replace("/", "."))
    return found


def rpc_name(method: Method) -> str | None:
    """The full name of a method's procedure: `google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector`."""
    published = _names(method.api).get(method.id) if method.api in CLIENTS else None
    return published or _UNPUBLISHED.get((method.api, method.id))


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
    seen: set[str] = set()
    for rpc in rpcs(api).values():
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
