"""Cloud Functions v1: functions of the first generation."""

from __future__ import annotations

from http import HTTPStatus
from secrets import token_hex
from urllib.parse import urlsplit

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import LongRunning
from testbed.api.contract import listing, masks
from testbed.api.contract.discovery import document
from testbed.api.contract.errors import bad_request
from testbed.api.services import located
from testbed.api.services.functions import records, translation, v2
from testbed.api.services.functions.records import KIND
from testbed.control import invocation
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.operations import Operation
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.resource import last

API = "cloudfunctions.v1"
_FIELDS = document(API).schemas["CloudFunction"]["properties"]
_CALL = 60.0
"""Seconds that a function has to answer a call of this API."""
_STATUS = {"ACTIVE": "ACTIVE", "FAILED": "OFFLINE", "DEPLOYING": "DEPLOY_IN_PROGRESS", "DELETING": "DELETE_IN_PROGRESS"}


def _fetch(call: Call) -> None:
    records.fetch(call.plane, translation.to_v2(call.body))


@serves(API, "projects.locations.functions.create", before=_fetch)
def create(call: Call) -> Answer:
    """Accept a function, whose name is in its body."""
    parent = call.text("location")
    located.region_of(parent)
    given = call.body.get("name", "")
    if given.rpartition("/functions/")[0] != parent:
        raise InvalidArgument(f"function '{given}': its name does not begin with {parent}")
    name = located.unused(call, KIND, records.name_in(parent, last(given)))
    return _deployed(call, name, call.body)


@serves(API, "projects.locations.functions.patch", before=_fetch)
def patch(call: Call) -> Answer:
    """Change a function."""
    record = _first(located.found(call, KIND))
    body = masks.apply(
        translation.to_v1(records.asked(record.body)),
        call.body,
        masks.paths(call.text("updateMask")),
        known=lambda path: path.partition(".")[0] in _FIELDS,
        output_only=("name",),
    )
    return _deployed(call, record.name, body)


def _deployed(call: Call, name: str, body: Json) -> Answer:
    """Deploy a function.

    Raises:
        InvalidArgument: in the words of v1, which says in the details alone what is wrong.
    """
    try:
        return records.deploy(call, name, translation.to_v2(body))
    except InvalidResource as error:
        if not error.path:
            raise
        refused = InvalidArgument(GoogleText("The request has errors"))
        refused.details = (bad_request(masks.snake(str(error.path[-1])), error.message),)
        raise refused from error


@serves(API, "projects.locations.functions.get")
def get(call: Call) -> Json:
    """One function."""
    return view(call.plane, _first(located.found(call, KIND)))


@serves(API, "projects.locations.functions.list")
def list_(call: Call) -> Json:
    """The functions of the first generation."""
    parent = call.text("parent")
    known = call.plane.list(KIND, parent.removesuffix("-") if parent.endswith("/locations/-") else f"{parent}/")
    page = listing.page(
        [view(call.plane, record) for record in known if record.body.get("environment") == "GEN_1"],
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        collection=parent,
    )
    return page.answer("functions")


@serves(API, "projects.locations.functions.delete")
def delete(call: Call) -> Answer:
    """Delete a function."""
    _first(located.found(call, KIND))
    return v2.delete(call)


@serves(API, "projects.locations.functions.call", changes=False)
def call_function(call: Call) -> Json:
    """Call a function with a body, from the internet."""
    record = _first(located.found(call, KIND))
    if v2.state_of(record) == "FAILED":
        raise FailedPrecondition(f"function {record.name}: it is not deployed")
    address = urlsplit(v2.url(record))
    answer = invocation.request(
        call.plane.store.name,
        call.plane.running,
        address.netloc,
        "POST",
        address.path,
        body=call.body.get("data", "").encode(),
        headers={"content-type": "application/json"},
        timeout=_CALL,
    )
    text = answer.body.decode(errors="replace")
    field = "result" if answer.status < HTTPStatus.BAD_REQUEST else "error"
    return {"executionId": token_hex(6), field: text}


def view(plane: ControlPlane, record: Record) -> Json:
    """A function as v1 prints it."""
    body = translation.to_v1(v2.view(plane, record))
    trigger = {"securityLevel": "SECURE_OPTIONAL", **body.get("httpsTrigger", {}), "url": v2.url(record)}
    return {
        **body,
        "name": record.name,
        "httpsTrigger": trigger,
        "status": _STATUS[v2.state_of(record)],
        "versionId": str(record.generation),
        "updateTime": timestamp(record.updated),
    }


def _first(record: Record) -> Record:
    if record.body.get("environment") != "GEN_1":
        raise FailedPrecondition(f"function {record.name}: it is of the 2nd generation; use v2 of the API")
    return record


def _metadata(operation: Operation) -> Json:
    action = operation.method.rpartition(".")[2]
    return {
        "target": operation.target,
        "type": v2.TYPES[action],
        "updateTime": timestamp(operation.ended or operation.accepted),
    }


PRINTERS[API] = LongRunning(
    metadata_type="google.cloud.functions.v1.OperationMetadataV1",
    metadata=_metadata,
    response_type="google.cloud.functions.v1.CloudFunction",
    view=view,
    parent=lambda _: "",
)
