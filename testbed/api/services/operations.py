"""Reading operations: the same for every API that has `google.longrunning.Operation`."""

from __future__ import annotations

from testbed.api import filters, listing
from testbed.api.call import PRINTERS, Call, serves
from testbed.api.discovery import Json
from testbed.api.longrunning import LongRunning
from testbed.control.operations import Operation
from testbed.errors import NotFound

_LOCATED = "vpcaccess.v1 vpcaccess.v1beta1 run.v2 run.v1 cloudfunctions.v2 redis.v1"
_PLAIN = "cloudfunctions.v1 servicenetworking.v1 serviceusage.v1 cloudresourcemanager.v1 cloudresourcemanager.v3"


@serves(_LOCATED, "projects.locations.operations.get")
@serves("networkmanagement.v1", "projects.locations.global.operations.get")
@serves("appengine.v1", "apps.operations.get")
@serves(_PLAIN, "operations.get")
def get(call: Call) -> Json:
    """One operation, by its name; whichever API is asked, for their paths are the same."""
    name = call.text("name") or f"apps/{call.text('appsId')}/operations/{call.text('operationsId')}"
    try:
        operation = call.plane.operation(name.rpartition("/")[2])
    except NotFound:
        raise NotFound(f"Operation '{name}' was not found.", reason="notFound") from None
    return PRINTERS[operation.api](call.plane, operation)


@serves(_LOCATED, "projects.locations.operations.list")
@serves("networkmanagement.v1", "projects.locations.global.operations.list")
@serves("appengine.v1", "apps.operations.list")
@serves(_PLAIN, "operations.list")
def list_(call: Call) -> Json:
    """The operations of one API under one parent, the newest first."""
    parent, name = call.text("name"), call.method.api.split(".")[0]
    printed = [
        PRINTERS[one.api](call.plane, one) for one in reversed(call.plane.operations()) if _is_under(one, name, parent)
    ]
    page = listing.page(
        printed, size=call.number("pageSize"), token=call.text("pageToken"),
        predicate=filters.aip160(call.text("filter")), collection=parent,
    )  # fmt: skip
    answer: Json = {"operations": list(page.items)} if page.items else {}
    return {**answer, "nextPageToken": page.next_token} if page.next_token else answer


def _is_under(operation: Operation, api: str, parent: str) -> bool:
    printer = PRINTERS.get(operation.api)
    if not isinstance(printer, LongRunning) or operation.api.split(".")[0] != api:
        return False
    above = printer.parent(operation)
    wildcard = parent.removesuffix("/-") if parent.endswith("/locations/-") else None
    return above == parent or parent in {"", "operations"} or (wildcard is not None and above.startswith(wildcard))
