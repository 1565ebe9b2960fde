"""App Engine: versions, how one is made, started, stopped and deleted."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.contract import masks
from testbed.api.contract.discovery import document
from testbed.api.services.appengine import deployment, services
from testbed.api.services.appengine.names import (
    API,
    DEFAULT,
    SERVICES,
    VERSIONS,
    VIEWS,
    application,
    found,
    operation,
    page,
    service_name,
    version_name,
)
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.projects import app_engine_account
from testbed.model.core.resource import last, segment

_FIELDS = document(API).schemas["Version"]["properties"]
_FULL = frozenset(name for name, field in _FIELDS.items() if "view=FULL" in field.get("description", ""))
"""What is shown only to those who ask for all."""
_MUTABLE = frozenset({"servingStatus", "instanceClass", "automaticScaling", "manualScaling", "minTotalInstances"})
_FINAL = (
    "Cannot delete the final version of a service (module). Please delete the whole service (module) in order to delete"
    " this version."
)


@serves(API, "apps.services.versions.create", before=deployment.fetch)
def create(call: Call) -> Answer:
    """Make a version, or replace one.  The first of its service gets the traffic."""
    app, service = application(call), service_name(call)
    name = f"{service}/versions/{deployment.checked_id(call.body.get('id', ''))}"
    others = call.plane.list(VERSIONS, f"{service}/versions/")
    if last(service) != DEFAULT and not call.plane.list(VERSIONS, f"apps/{app.name}/services/{DEFAULT}/"):
        raise FailedPrecondition(
            GoogleText(
                "The first service (module) you upload to a new application must be the 'default' service (module)."
                " Please"
                " upload a version of the 'default' service (module) before uploading a version for the"
                f" '{last(service)}'"
                " service (module)."
            )
        )
    body, problem = deployment.deployed(call, app, name)
    body["createdBy"] = call.principal
    changes = [ResourceChange(VERSIONS, name, body)]
    if call.plane.find(SERVICES, service) is None:
        first = services.serving(call.plane, service) if others else last(name)
        changes.append(ResourceChange(SERVICES, service, {"name": service, "split": {"allocations": {first: 1}}}))
    return operation(call, VERSIONS, name, *changes, **({"fails": problem} if problem else {}))


@serves(API, "apps.services.versions.patch")
def patch(call: Call) -> Answer:
    """Start or stop a version, or change how it is scaled."""
    record = found(call, VERSIONS, version_name(call))
    paths = masks.paths(call.text("updateMask"))
    for path in paths or ((name,) for name in call.body):
        if path[0] not in _MUTABLE:
            raise InvalidArgument(f"version: the field '{path[0]}' cannot be changed; deploy another version")
    body = masks.apply(record.body, call.body, paths, known=lambda path: path.partition(".")[0] in _FIELDS)
    scaled = "manualScaling" in body or "basicScaling" in body or body.get("env") == "flexible"
    if body.get("servingStatus") == "STOPPED" and not scaled:
        raise InvalidArgument(
            "servingStatus: only versions in the flexible environment, or with manual or basic scaling, can be stopped"
        )
    resolved = call.plane.resolve(VERSIONS, body, call.scope(application(call).name))
    return operation(call, VERSIONS, record.name, ResourceChange(VERSIONS, record.name, resolved))


@serves(API, "apps.services.versions.delete")
def delete(call: Call) -> Answer:
    """Delete a version that gets no traffic."""
    record, service = found(call, VERSIONS, version_name(call)), service_name(call)
    if len(call.plane.list(VERSIONS, f"{service}/versions/")) == 1:
        raise FailedPrecondition(GoogleText(_FINAL))
    if services.serving(call.plane, service) == record.id:
        raise FailedPrecondition(f"version '{record.name}': it gets the traffic of its service; move that first")
    return operation(call, VERSIONS, record.name, ResourceChange(VERSIONS, record.name, None))


@serves(API, "apps.services.versions.get")
def get(call: Call) -> Json:
    """One version."""
    return _shown(call, found(call, VERSIONS, version_name(call)))


@serves(API, "apps.services.versions.list")
def list_(call: Call) -> Json:
    """The versions of a service."""
    service = service_name(call)
    records = call.plane.list(VERSIONS, f"{service}/versions/")
    if not records:
        found(call, SERVICES, service)
    return page(call, "versions", [_shown(call, record) for record in records], service)


def view(plane: ControlPlane, record: Record) -> Json:
    """A version as the API prints it to those who ask for all."""
    del plane
    body = deployment.asked(record.body)
    standard = body.get("env", "standard") == "standard"
    scaled_by_hand = "manualScaling" in body or "basicScaling" in body
    service, app = segment(record.name, "services"), segment(record.name, "apps")
    prefix = "" if service == DEFAULT else f"{service}-dot-"
    return {
        "env": "standard",
        "servingStatus": "SERVING",
        "runtime": "python311",
        "threadsafe": True,
        "serviceAccount": app_engine_account(app),
        **({"instanceClass": "B1" if scaled_by_hand else "F1", "runtimeChannel": "default"} if standard else {}),
        **body,
        "name": record.name,
        "id": record.id,
        "createTime": timestamp(record.created),
        "versionUrl": f"https://{record.id}-dot-{prefix}{app}.appspot.com",
    }


VIEWS[VERSIONS] = view


def _shown(call: Call, record: Record) -> Json:
    shown = view(call.plane, record)
    return shown if call.text("view") == "FULL" else {k: v for k, v in shown.items() if k not in _FULL}
