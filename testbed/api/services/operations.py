"""Reading operations: the same for every API that has `google.longrunning.Operation`."""

from __future__ import annotations

from testbed.api.calls.call import PRINTERS, Call, serves
from testbed.api.calls.longrunning import LongRunning
from testbed.api.contract import filters, listing
from testbed.control.state.operations import Operation
from testbed.errors import FailedPrecondition, NotFound
from testbed.json_object import Json

_LOCATED = "vpcaccess.v1 vpcaccess.v1beta1 run.v2 run.v1 cloudfunctions.v2 redis.v1"
_PLAIN = (
    "cloudfunctions.v1 servicenetworking.v1 serviceusage.v1 serviceusage.v1beta1"
    " cloudresourcemanager.v1 cloudresourcemanager.v3"
)
NOOP = "operations/noop.DONE_OPERATION"
"""The operation of a call that had nothing to do, as of enabling a service that is enabled (serviceusage)."""


@serves(_LOCATED, "projects.locations.operations.get")
@serves("networkmanagement.v1", "projects.locations.global.operations.get")
@serves("appengine.v1", "apps.operations.get")
@serves(_PLAIN, "operations.get")
def get(call: Call) -> Json:
    """One operation, by its name; whichever API is asked, for their paths are the same."""
    if call.text("name") == NOOP:
        return {"name": call.text("name"), "done": True}
    operation, printer = _named(call)
    return printer(call.plane, operation)


@serves("run.v1 run.v2 redis.v1", "projects.locations.operations.delete")
@serves("networkmanagement.v1", "projects.locations.global.operations.delete")
@serves("servicenetworking.v1 serviceusage.v1", "operations.delete")
def delete(call: Call) -> Json:
    """Forget an operation; that it is over is our choice, for nothing is cancelled by it."""
    operation, _ = _named(call)
    if not operation.done:
        raise FailedPrecondition(f"operation '{call.text('name')}': it is not done")
    call.plane.store.operations.forget(operation)
    return {}


@serves(_LOCATED, "projects.locations.operations.list")
@serves("networkmanagement.v1", "projects.locations.global.operations.list")
@serves("appengine.v1", "apps.operations.list")
@serves(_PLAIN, "operations.list")
def list_(call: Call) -> Json:
    """The operations of one API under one parent, the newest first."""
    parent = call.text("name")
    printed = [
        printer(call.plane, one)
        for one in reversed(call.plane.operations())
        if (printer := _printer(call, one)) is not None and _is_under(printer.parent(one), parent)
    ]
    page = listing.page(
        printed,
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        predicate=filters.aip160(call.text("filter")),
        collection=parent,
    )
    return page.answer("operations")


def _named(call: Call) -> tuple[Operation, LongRunning]:
    """The operation that a call names, and who prints it.

    Raises:
        NotFound: there is none of that name.
    """
    name = call.text("name") or f"apps/{call.text('appsId')}/operations/{call.text('operationsId')}"
    missing = NotFound(f"operation '{name}': not found", reason="notFound")
    try:
        operation = call.plane.operation(name.rpartition("/")[2])
    except NotFound:
        raise missing from None
    printer = _printer(call, operation)
    if printer is None or printer.name(operation) != name:
        raise missing
    return operation, printer


def _printer(call: Call, operation: Operation) -> LongRunning | None:
    """Who prints an operation for a caller: the version that is asked, if that has operations, else its own."""
    asked, own = PRINTERS.get(call.method.api), PRINTERS.get(operation.api)
    if operation.api.split(".")[0] != call.method.api.split(".")[0]:
        return own if isinstance(own, LongRunning) and not call.method.id.endswith(".list") else None
    found = asked if isinstance(asked, LongRunning) else own
    return found if isinstance(found, LongRunning) else None


def _is_under(above: str, parent: str) -> bool:
    """Whether operations of a parent are listed: the location that is asked for, or one of all (`-`)."""
    if parent.endswith("/locations/-"):
        return above.startswith(parent.removesuffix("-"))
    return above == parent or parent in {"", "operations"}
