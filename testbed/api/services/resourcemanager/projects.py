"""Projects: read, listed, made, and their policies."""

from __future__ import annotations

import re
from functools import partial

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import LongRunning
from testbed.api.contract import filters, listing
from testbed.api.services import iampolicy
from testbed.api.services.compute.names import fingerprint
from testbed.api.services.resourcemanager.ids import KIND, id_of
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText, InvalidArgument, PermissionDenied
from testbed.json_object import Json
from testbed.model.core.projects import project_number

V1, V3 = "cloudresourcemanager.v1", "cloudresourcemanager.v3"
_ID = re.compile(r"[a-z][-a-z0-9]{4,28}[a-z0-9]")


@serves(f"{V1} {V3}", "projects.get")
def get(call: Call) -> Json:
    """One project: whatever id is asked for."""
    return _printed(call, _project(call))


@serves(f"{V1} {V3}", "projects.list", "projects.search")
def list_(call: Call) -> Json:
    """The projects that are known."""
    made = [_printed(call, project) for project in sorted(call.plane.projects())]
    page = listing.page(
        made,
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        key=lambda one: str(one["projectId"]),
        predicate=filters.aip160(call.text("filter") or call.text("query")),
    )
    return page.answer("projects", always=True)


@serves(f"{V1} {V3}", "projects.create")
def create(call: Call) -> Answer:
    """Make a project: give it a name and labels."""
    body = call.body
    project = body.get("projectId", "")
    if not _ID.fullmatch(project):
        raise InvalidArgument(
            GoogleText(
                "field [project_id] has issue [project_id must be 6 to 30 lowercase letters, digits, or hyphens]"
            )
        )
    name = f"projects/{project}"
    if call.plane.find(KIND, name) or project == call.plane.general["project"]:
        raise AlreadyExists(GoogleText("Requested entity already exists"), reason="alreadyExists")
    kept: Json = {key: body[key] for key in ("name", "displayName", "labels") if key in body}
    return call.plane.submit(call.operation(KIND, name, changes=(ResourceChange(KIND, name, kept),)))


@serves(V1, "projects.getAncestry")
def ancestry(call: Call) -> Json:
    """A project is alone: it has neither folder nor organization."""
    return {"ancestor": [{"resourceId": {"type": "project", "id": _project(call)}}]}


@serves(f"{V1} {V3}", "organizations.search", "folders.search", "folders.list")
def none(_: Call) -> Json:
    """There are none."""
    return {}


@serves(f"{V1} {V3}", "organizations.get", "folders.get")
def no_such(call: Call) -> Json:
    """Refuse it as Google refuses what is not there, or not the caller's to see."""
    raise PermissionDenied(f"{call.text('name')}: not found, or the caller may not access it")


def _project(call: Call) -> str:
    return id_of(call.plane, call.text("projectId") or call.text("name") or call.text("resource"))


def _printed(call: Call, project: str) -> Json:
    record = call.plane.find(KIND, f"projects/{project}") or Record(KIND, f"projects/{project}", {})
    return view(call.method.api, call.plane, record)


def view(api: str, _: ControlPlane, record: Record) -> Json:
    """A project as a version of the API prints it."""
    body, number = record.body, str(project_number(record.id))
    title = body.get("displayName") or body.get("name") or record.id
    result: Json = {"labels": body["labels"]} if body.get("labels") else {}
    if record.created:
        result["createTime"] = timestamp(record.created)
    if api == V1:
        return {**result, "projectId": record.id, "projectNumber": number, "name": title, "lifecycleState": "ACTIVE"}
    etag = fingerprint(record.name, record.number, record.generation)
    return {
        **result,
        "name": f"projects/{number}",
        "projectId": record.id,
        "displayName": title,
        "state": "ACTIVE",
        "etag": etag,
    }


def _metadata(operation: Operation) -> Json:
    return {"createTime": timestamp(operation.accepted), "gettable": operation.done, "ready": operation.done}


for _api, _package, _status in (
    (V1, "google.cloudresourcemanager.v1", "ProjectCreationStatus"),
    (V3, "google.cloud.resourcemanager.v3", "CreateProjectMetadata"),
):
    PRINTERS[_api] = LongRunning(
        metadata_type=f"{_package}.{_status}",
        metadata=_metadata,
        response_type=f"{_package}.Project",
        view=partial(view, _api),
        parent=lambda _: "",
    )
    iampolicy.register(_api, "projects", lambda call: f"projects/{_project(call)}")
