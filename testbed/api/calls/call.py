"""One call of a method, and who serves it.

A handler serves one or several methods.  It is given a `Call` and returns what is to be printed, or an operation that
has been accepted.  Handlers of methods that change something run inside one transaction of the control plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from testbed.api.callers.identity import Identity
from testbed.api.calls.audit import AuditLog
from testbed.api.contract.discovery import Method
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.resource import Defaults


class ImageCatalog(Protocol):
    """The container images that services and VMs can be made from."""

    def knows(self, name: str) -> bool:
        """Whether an image of this name can be run, without anything having to be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that has been understood: it fits the method's discovery document."""

    plane: ControlPlane
    images: ImageCatalog
    audit: AuditLog
    identity: Identity
    method: Method
    parameters: Mapping[str, str]
    """Of path and query."""
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All values of query parameters that may be given several times."""
    body: Json = field(default_factory=dict)
    principal: str = ""
    endpoint: str = ""
    """How the caller reaches the control plane: `http://127.0.0.1:7667`."""

    def text(self, name: str, default: str = "") -> str:
        """A parameter."""
        return self.parameters.get(name, default)

    def flag(self, name: str) -> bool:
        """A parameter that is true or false."""
        return self.text(name).lower() == "true"

    def number(self, name: str, default: int = 0) -> int:
        """A parameter that is a number.

        Raises:
            InvalidArgument: it is none.
        """
        value = self.text(name)
        try:
            return int(value) if value else default
        except ValueError:
            raise InvalidArgument(GoogleText(f"Invalid value at '{name}' (TYPE_INT32), \"{value}\"")) from None

    @property
    def request(self) -> str | None:
        """What makes a request the same as one before (`requestId`): for `Operation.request`."""
        given = self.text("requestId") or self.text("requestId".lower())
        return f"{self.principal}/{self.method.id}/{given}" if given else None

    def scope(self, project: str, *, region: str | None = None, zone: str | None = None) -> Defaults:
        """What short names in the body are completed with."""
        return Defaults(project, region, zone, lenient=True)

    def operation(self, kind: str, target: str, **fields: Any) -> Operation:
        """An operation of this call, for `plane.submit`."""
        return Operation(
            api=self.method.api,
            method=self.method.id,
            kind=kind,
            target=target,
            principal=self.principal,
            request=self.request,
            **fields,
        )


Answer = Json | Operation
Handler = Callable[[Call], Answer]
Printer = Callable[[ControlPlane, Operation], Json]

HANDLERS: dict[tuple[str, str], Handler] = {}
"""By version of the API and id of the method without the API's name."""
_UNLOCKED: set[Handler] = set()
_PREPARED: dict[Handler, Callable[[Call], None]] = {}
PRINTERS: dict[str, Printer] = {}
"""How each version of an API prints its operations."""


def serves(
    apis: str, *methods: str, changes: bool = True, before: Callable[[Call], None] | None = None
) -> Callable[[Handler], Handler]:
    """Register a handler: `@serves("vpcaccess.v1 vpcaccess.v1beta1", "projects.locations.connectors.create")`.

    Without `changes`, its methods change no resources, whatever their verb, and may take their time.  So may what is
    done `before` the transaction in which the handler finds it done.
    """

    def register(handler: Handler) -> Handler:
        if not changes:
            _UNLOCKED.add(handler)
        if before is not None:
            _PREPARED[handler] = before
        for api in apis.split():
            HANDLERS.update({(api, method): handler for method in methods})
        return handler

    return register


def handler_of(method: Method) -> Handler | None:
    """Who serves a method, if anybody does."""
    return HANDLERS.get((method.api, method.id.partition(".")[2]))


def changes(method: Method) -> bool:
    """Whether a method may change resources: then it is called inside a transaction."""
    return method.verb != "GET" and handler_of(method) not in _UNLOCKED


def takes_time(method: Method) -> bool:
    """Whether a method may take its time."""
    handler = handler_of(method)
    return handler in _UNLOCKED or handler in _PREPARED


def prepare(call: Call) -> None:
    """Do what is to be done before the transaction."""
    handler = handler_of(call.method)
    if handler in _PREPARED:
        _PREPARED[handler](call)
