"""App Engine: services, and which of their versions gets the traffic."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import masks
from testbed.api.contract.discovery import document
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
)
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText
from testbed.json_object import Json
from testbed.model.core.resource import last

_FIELDS = document(API).schemas["Service"]["properties"]


@serves(API, "apps.services.get")
def get(call: Call) -> Json:
    """One service."""
    return view(call.plane, _service(call, service_name(call)))


@serves(API, "apps.services.list")
def list_(call: Call) -> Json:
    """The services of the application."""
    app = application(call).name
    versions = call.plane.list(VERSIONS, f"apps/{app}/services/")
    names = dict.fromkeys(record.name.rpartition("/versions/")[0] for record in versions)
    return page(call, "services", [view(call.plane, _service(call, name)) for name in names], app)


@serves(API, "apps.services.patch")
def patch(call: Call) -> Answer:
    """Give the traffic to another version, which runs then instead of the one that had it; or limit who may call."""
    record = _service(call, service_name(call))
    body = masks.apply(
        record.body,
        call.body,
        masks.paths(call.text("updateMask")),
        known=lambda path: path.partition(".")[0] in _FIELDS,
    )
    resolved = call.plane.resolve(SERVICES, body, call.scope(application(call).name))
    for version in resolved["split"]["allocations"]:
        found(call, VERSIONS, f"{record.name}/versions/{version}")
    return operation(call, SERVICES, record.name, ResourceChange(SERVICES, record.name, resolved))


@serves(API, "apps.services.delete")
def delete(call: Call) -> Answer:
    """Delete a service and all its versions."""
    record = _service(call, service_name(call))
    if last(record.name) == DEFAULT:
        raise FailedPrecondition(GoogleText("The default service may not be deleted."))
    kept = call.plane.find(SERVICES, record.name)
    changes = [
        ResourceChange(VERSIONS, one.name, None) for one in call.plane.list(VERSIONS, f"{record.name}/versions/")
    ]
    if kept:
        changes.insert(0, ResourceChange(SERVICES, record.name, None))
    return operation(call, SERVICES, record.name, *changes)


def serving(plane: ControlPlane, service: str) -> str:
    """The id of the version that gets a service's traffic; of a topology file's service it is its only one."""
    record = plane.find(SERVICES, service)
    if record:
        return next(str(name) for name, share in record.body["split"]["allocations"].items() if share)
    return plane.list(VERSIONS, f"{service}/versions/")[0].id


def view(plane: ControlPlane, record: Record) -> Json:
    """A service as the API prints it."""
    split = {"allocations": {serving(plane, record.name): 1}} | record.body.get("split", {})
    return {**record.body, "split": split, "name": record.name, "id": last(record.name)}


VIEWS[SERVICES] = view


def _service(call: Call, name: str) -> Record:
    """A service; one that has only versions (of a topology file) is one as well."""
    record = call.plane.find(SERVICES, name)
    if record is None and call.plane.list(VERSIONS, f"{name}/versions/"):
        allocations = {serving(call.plane, name): 1}
        return Record(SERVICES, name, {"name": name, "split": {"allocations": allocations}})
    return record or found(call, SERVICES, name)
