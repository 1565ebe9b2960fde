"""Cloud Run v2: services and their revisions."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import masks
from testbed.api.contract.discovery import document
from testbed.api.services.run import deploy, names, state, validation, view
from testbed.api.services.run.names import REVISIONS, SERVICES
from testbed.api.services.run.pages import page
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText, InvalidArgument
from testbed.json_object import Json

API = "run.v2"
_SERVICES = "projects.locations.services"
FIELDS = frozenset(document(API).schemas["GoogleCloudRunV2Service"]["properties"])


@serves(API, f"{_SERVICES}.create")
def create(call: Call) -> Answer:
    """Make a service."""
    above = names.parent(call)
    given = names.new_id(call.text("serviceId"), "service_id")
    if call.body.get("name"):
        raise InvalidArgument(GoogleText("Violation in CreateServiceRequest.service.name: must be empty."))
    name = f"{above}/services/{given}"
    if call.plane.find(SERVICES, name):
        raise AlreadyExists(GoogleText(f"Resource '{given}' already exists."), reason="alreadyExists")
    return _deployed(call, name, call.body, "CreateServiceRequest.service")


@serves(API, f"{_SERVICES}.patch")
def patch(call: Call) -> Answer:
    """Change a service; without a mask, all of it."""
    name = names.full(call, call.text("name"))
    known = call.plane.find(SERVICES, name)
    if known is None and call.flag("allowMissing"):
        names.new_id(name.rpartition("/")[2], "service.name")
        return _deployed(call, name, call.body, "UpdateServiceRequest.service")
    record = names.record(call, SERVICES, name)
    deploy.guard(call, record, call.body.get("etag"))
    mask = masks.paths(call.text("updateMask")) or (masks.EVERYTHING,)
    hidden = validation.hidden(record.body)
    body = masks.apply(record.body, call.body, mask, known=FIELDS)
    body["annotations"] = {**hidden, **body.get("annotations", {})}
    return _deployed(call, name, body, "UpdateServiceRequest.service", force=call.flag("forceNewRevision"))


@serves(API, f"{_SERVICES}.delete")
def delete(call: Call) -> Answer:
    """Delete a service."""
    record = names.record(call, SERVICES, names.full(call, call.text("name")))
    deploy.guard(call, record, call.text("etag"))
    if call.flag("validateOnly"):
        return deploy.only_validated(SERVICES, view.service(call.plane, record))
    return deploy.delete(call, record)


@serves(API, f"{_SERVICES}.get")
def get(call: Call) -> Json:
    """One service."""
    return view.service(call.plane, names.record(call, SERVICES, names.full(call, call.text("name"))))


@serves(API, f"{_SERVICES}.list")
def list_(call: Call) -> Json:
    """The services of a region, or (`-`) of all."""
    above = names.full(call, call.text("parent"))
    found = [view.service(call.plane, record) for record in names.below(call, SERVICES, above)]
    return page(call, "services", found, above)


@serves(API, f"{_SERVICES}.revisions.get")
def get_revision(call: Call) -> Json:
    """One revision."""
    return view.revision(call.plane, _revision(call))


@serves(API, f"{_SERVICES}.revisions.list")
def list_revisions(call: Call) -> Json:
    """The revisions of a service, or (`-`) of all, the newest first."""
    above = names.full(call, call.text("parent"))
    place, _, service = above.rpartition("/services/")
    owners = [record for record in names.below(call, SERVICES, place) if service in {"-", record.id}]
    if service != "-" and not owners:
        names.record(call, SERVICES, above)
    found = [view.revision(call.plane, one) for owner in owners for one in state.revisions(call.plane, owner)]
    return page(call, "revisions", found, above, order_by="createTime desc")


@serves(API, f"{_SERVICES}.revisions.delete")
def delete_revision(call: Call) -> Answer:
    """Delete a revision."""
    record = _revision(call)
    deploy.guard(call, record, call.text("etag"))
    if call.flag("validateOnly"):
        return deploy.only_validated(REVISIONS, view.revision(call.plane, record))
    return deploy.delete_revision(call, record)


def _deployed(call: Call, name: str, body: Json, request: str, *, force: bool = False) -> Answer:
    validation.fits_v2(call.body, request)
    validation.fits_v2(call.body.get("template", {}), f"{request}.template")
    asked = {key: value for key, value in body.items() if key not in {"name", "etag"}}
    planned = deploy.plan(call, name, asked, request=request, force=force)
    if call.flag("validateOnly"):
        return deploy.only_validated(SERVICES, {"name": name})
    return deploy.carry_out(call, planned)


def _revision(call: Call) -> Record:
    """The revision that a call names."""
    name = names.full(call, call.text("name"))
    service = call.plane.find(SERVICES, name.rpartition("/revisions/")[0])
    known = state.revisions(call.plane, service) if service else []
    return next((one for one in known if one.name == name), None) or names.record(call, REVISIONS, name)
