"""`compute#operation`: how Compute Engine prints what takes time, and the methods that read and await it."""

from __future__ import annotations

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import compute_timestamp
from testbed.api.contract import filters, listing
from testbed.api.services.compute.names import numeric_id, url
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.errors import CODES, GoogleText, NotFound
from testbed.json_object import Json

API = "compute.v1"
SCOPES = {"globalOperations": "global", "regionOperations": "regions", "zoneOperations": "zones"}
_HTTP = {3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 12: 501, 14: 503}
_NAMES = {number: name for name, number in CODES.items()}


def printed(_: ControlPlane, operation: Operation) -> Json:
    """An operation; its facts say in which scope it is."""
    scope = str(operation.facts["scope"])
    project = operation.target.split("/")[1]
    link = url(f"projects/{project}/{scope}/operations/{operation.id}")
    result: Json = {
        "kind": "compute#operation",
        "id": numeric_id(operation.id),
        "name": operation.id,
        "operationType": _type(operation),
        "targetLink": url(operation.target),
        "targetId": numeric_id(operation.target),
        "status": "DONE" if operation.done else "RUNNING",
        "user": operation.principal,
        "progress": 100 if operation.done else 0,
        "insertTime": compute_timestamp(operation.accepted),
        "startTime": compute_timestamp(operation.accepted),
        "selfLink": link,
    }
    kind, name = scope.split("/") if "/" in scope else (scope, "")
    if name:
        result[kind.removesuffix("s")] = url(f"projects/{project}/{scope}")
    if operation.request:
        result["clientOperationId"] = operation.request.rpartition("/")[2]
    if operation.ended:
        result["endTime"] = compute_timestamp(operation.ended)
    if operation.error:
        number = operation.error["code"]
        status = _HTTP.get(number, 500)
        result["error"] = {"errors": [{"code": _NAMES.get(number, "UNKNOWN"), "message": operation.error["message"]}]}
        result["httpErrorStatusCode"] = status
        result["httpErrorMessage"] = _PHRASES.get(status, "INTERNAL SERVER ERROR")
    return result


def _type(operation: Operation) -> str:
    """The type of an operation; newer methods have their whole id there, as users' logs show."""
    collection, verb = operation.kind.removeprefix("compute."), str(operation.facts["type"])
    return f"compute.{collection}.{verb}" if {collection, f"{collection}.{verb}"} & _WITH_IDS else verb


_WITH_IDS = frozenset({"networks.patch", "instanceTemplates", "externalVpnGateways"})
_PHRASES = {
    400: "BAD REQUEST",
    403: "FORBIDDEN",
    404: "NOT FOUND",
    409: "CONFLICT",
    429: "TOO MANY REQUESTS",
    501: "NOT IMPLEMENTED",
    503: "SERVICE UNAVAILABLE",
}
PRINTERS[API] = printed


@serves(API, "globalOperations.get", "regionOperations.get", "zoneOperations.get")
def get(call: Call) -> Json:
    """One operation of a scope."""
    return printed(call.plane, _operation(call))


@serves(API, "globalOperations.wait", "regionOperations.wait", "zoneOperations.wait")
def wait(call: Call) -> Answer:
    """One operation: the dispatcher has waited for its end, for two minutes at the most."""
    return _operation(call)


@serves(API, "globalOperations.list", "regionOperations.list", "zoneOperations.list")
def list_(call: Call) -> Json:
    """The operations of a scope."""
    found = [printed(call.plane, one) for one in call.plane.operations() if _is_in(one, call)]
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.compute(call.text("filter")),
        collection=_scope(call),
        rules=listing.COMPUTE,
    )
    return {"kind": "compute#operationList", "id": _scope(call), **page.answer("items", always=True)}


def _scope(call: Call) -> str:
    collection = SCOPES[call.method.collection.rpartition(".")[2]]
    place = call.text(collection.removesuffix("s"))
    return f"projects/{call.text('project')}/{collection}" + (f"/{place}" if place else "")


def _is_in(operation: Operation, call: Call) -> bool:
    if operation.api != API:
        return False
    return f"projects/{operation.target.split('/')[1]}/{operation.facts['scope']}" == _scope(call)


def _operation(call: Call) -> Operation:
    """The operation that a call names.

    Raises:
        NotFound: there is none of that name in that scope.
    """
    name = call.text("operation")
    missing = NotFound(GoogleText(f"The resource '{_scope(call)}/operations/{name}' was not found"), reason="notFound")
    try:
        operation = call.plane.operation(name)
    except NotFound:
        raise missing from None
    if not _is_in(operation, call):
        raise missing
    return operation
