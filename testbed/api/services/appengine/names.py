"""What the modules of App Engine share: kinds, names, operations."""

from __future__ import annotations

from typing import Any

from testbed.api.calls.call import PRINTERS, Call
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import EMPTY, LongRunning
from testbed.api.contract import listing
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, NotFound
from testbed.json_object import Json
from testbed.model.serverless.appengine import LEGACY_LOCATIONS

API = "appengine.v1"
APPLICATIONS, SERVICES, VERSIONS = "appengine.application", "appengine.services", "appengine.versions"
DEFAULT = "default"
"""The service that an application always has."""
_ADMIN = "google.appengine.v1"
_TYPES = {APPLICATIONS: f"{_ADMIN}.Application", SERVICES: f"{_ADMIN}.Service", VERSIONS: f"{_ADMIN}.Version"}
_GROUPS = {APPLICATIONS: "Applications", SERVICES: "Services", VERSIONS: "Versions"}
VIEWS: Json = {}
"""How each kind is printed."""


def application(call: Call) -> Record:
    """The application that a call's path names.

    Raises:
        NotFound: there is none.
    """
    name = call.text("appsId")
    if record := call.plane.find(APPLICATIONS, name):
        return record
    raise NotFound(
        GoogleText(f"Could not find Application '{name}'. The app must be created first: `gcloud app create`."),
        reason="notFound",
    )


def service_name(call: Call) -> str:
    """The full name of the service in a call's path."""
    return f"apps/{application(call).name}/services/{call.text('servicesId')}"


def version_name(call: Call) -> str:
    """The full name of the version in a call's path."""
    return f"{service_name(call)}/versions/{call.text('versionsId')}"


def found(call: Call, kind: str, name: str) -> Record:
    """A service or a version.

    Raises:
        NotFound: there is none.
    """
    if record := call.plane.find(kind, name):
        return record
    what = "service" if kind == SERVICES else "version"
    raise NotFound(f"{what} '{name}': not found", reason="notFound")


def region_of(record: Record) -> str:
    """The region of an application."""
    location = str(record.body["locationId"])
    return LEGACY_LOCATIONS.get(location, location)


def operation(call: Call, kind: str, target: str, *changes: ResourceChange, **facts: Any) -> Operation:
    """An operation that has been accepted."""
    made = call.operation(kind, target, changes=changes, facts=facts)
    return call.plane.submit(made)


def page(call: Call, field: str, found: list[Json], collection: str) -> Json:
    """One page of a list."""
    made = listing.page(found, size=call.number("pageSize"), token=call.text("pageToken"), collection=collection)
    return made.answer(field)


def _metadata(made: Operation) -> Json:
    """`OperationMetadataV1`."""
    action = made.method.rpartition(".")[2]
    verb = {"patch": "Update"}.get(action, action.capitalize())
    target = f"apps/{made.target}" if made.kind == APPLICATIONS else made.target
    result: Json = {
        "method": f"{_ADMIN}.{_GROUPS[made.kind]}.{verb}{_GROUPS[made.kind].removesuffix('s')}",
        "insertTime": timestamp(made.accepted),
        "user": made.principal,
        "target": target,
    }
    if made.ended:
        result["endTime"] = timestamp(made.ended)
    if made.kind == VERSIONS and action == "create":
        result["createVersionMetadata"] = {}
    return result


class _Operations(LongRunning):
    """App Engine's operations are about resources of three types."""

    def _response(self, plane: ControlPlane, operation: Operation) -> Json:
        record = plane.find(operation.kind, operation.target)
        if record is None or operation.method.endswith(".delete"):
            return {"@type": f"type.googleapis.com/{EMPTY}"}
        return {"@type": f"type.googleapis.com/{_TYPES[operation.kind]}", **VIEWS[operation.kind](plane, record)}


PRINTERS[API] = _Operations(
    metadata_type=f"{_ADMIN}.OperationMetadataV1",
    metadata=_metadata,
    response_type="",
    view=lambda plane, record: dict(VIEWS[record.kind](plane, record)),
    parent=lambda made: f"apps/{made.target.removeprefix('apps/').partition('/')[0]}",
)
