"""Cloud Run v1, whose messages are Knative's: what gcloud speaks.

The same resources as in v2: `knative` translates what is asked, `knative_view` prints what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.services.run import deploy, knative, knative_view, names, state
from testbed.api.services.run.names import REVISIONS, SERVICES
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText, InvalidArgument
from testbed.json_object import Json

API = "run.v1"
View = Callable[[ControlPlane, Record], Json]
DELETED: Json = {"status": "Success"}


def methods(collection: str, verb: str) -> tuple[str, str]:
    """A method by the namespaces of a region's host, and by locations."""
    return f"namespaces.{collection}.{verb}", f"projects.locations.{collection}.{verb}"


@serves(API, *methods("services", "create"))
def create(call: Call) -> Answer:
    """Make a service."""
    above = names.parent(call)
    given = names.new_id(call.body.get("metadata", {}).get("name", ""), "metadata.name")
    name = f"{above}/services/{given}"
    if call.plane.find(SERVICES, name):
        raise AlreadyExists(GoogleText(f"Resource '{given}' already exists."), reason="alreadyExists")
    return _deployed(call, name)


@serves(API, *methods("services", "replaceService"))
def replace_service(call: Call) -> Answer:
    """Put what was sent in the place of a service."""
    name = names.full(call, call.text("name"))
    record = names.record(call, SERVICES, name)
    metadata = call.body.get("metadata", {})
    if metadata.get("name", record.id) != record.id:
        raise InvalidArgument(f"metadata.name: must be '{record.id}', as in the path")
    deploy.guard(call, record, metadata.get("resourceVersion"))
    return _deployed(call, name)


@serves(API, *methods("services", "delete"))
def delete(call: Call) -> Answer:
    """Delete a service."""
    record = names.record(call, SERVICES, names.full(call, call.text("name")))
    return DELETED if is_dry(call) else deploy.delete(call, record)


@serves(API, *methods("services", "get"))
def get(call: Call) -> Json:
    """One service."""
    return knative_view.service(call.plane, names.record(call, SERVICES, names.full(call, call.text("name"))))


def _get_part(view: View, collection: str, call: Call) -> Json:
    name = names.full(call, call.text("name")).replace(f"/{collection}/", "/services/")
    return view(call.plane, names.record(call, SERVICES, name))


def _list(view: View, kind: str, call: Call) -> Json:
    above = names.full(call, call.text("parent"))
    shown = (view(call.plane, record) for record in names.below(call, SERVICES, above))
    return knative_view.listed(kind, knative_view.SERVING, knative_view.selected(shown, call.text("labelSelector")))


serves(API, *methods("services", "list"))(partial(_list, knative_view.service, "Service"))
serves(API, *methods("configurations", "list"))(partial(_list, knative_view.configuration, "Configuration"))
serves(API, *methods("routes", "list"))(partial(_list, knative_view.route, "Route"))
serves(API, *methods("configurations", "get"))(partial(_get_part, knative_view.configuration, "configurations"))
serves(API, *methods("routes", "get"))(partial(_get_part, knative_view.route, "routes"))


@serves(API, *methods("revisions", "list"))
def list_revisions(call: Call) -> Json:
    """The revisions of all services of a region, or of those that a selector names, the newest first."""
    found = [knative_view.revision(call.plane, one) for one in _revisions(call, names.full(call, call.text("parent")))]
    kept = knative_view.selected(reversed(found), call.text("labelSelector"))
    return knative_view.listed("Revision", knative_view.SERVING, kept)


@serves(API, *methods("revisions", "get"))
def get_revision(call: Call) -> Json:
    """One revision."""
    return knative_view.revision(call.plane, _revision(call))


@serves(API, *methods("revisions", "delete"))
def delete_revision(call: Call) -> Answer:
    """Delete a revision that does not serve."""
    record = _revision(call)
    return DELETED if is_dry(call) else deploy.delete_revision(call, record)


@serves(API, "namespaces.authorizeddomains.list", "projects.authorizeddomains.list")
@serves(API, "projects.locations.authorizeddomains.list")
def domains(call: Call) -> Json:
    """There are no verified domains."""
    del call
    return {}


@serves(API, *methods("domainmappings", "list"))
def domain_mappings(call: Call) -> Json:
    """There are no domain mappings: nobody can make one."""
    del call
    return knative_view.listed("DomainMapping", "domains.cloudrun.com/v1", ())


def _deployed(call: Call, name: str) -> Answer:
    for container in call.body.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        for variable in container.get("env", []):
            if "configMapKeyRef" in variable.get("valueFrom", {}):
                raise InvalidArgument(f"env[{variable.get('name')}].valueFrom.configMapKeyRef: not supported")
    body = knative.service_to_v2(call.body)
    verb = "Create" if call.method.action == "create" else "Update"
    planned = deploy.plan(call, name, body, request=f"{verb}ServiceRequest.service")
    if is_dry(call):
        known = call.plane.find(SERVICES, name) or Record(SERVICES, name, planned.changes[0].body or {})
        return knative_view.service(call.plane, known)
    return deploy.carry_out(call, planned)


def is_dry(call: Call) -> bool:
    """Whether a call only asks whether it would be accepted."""
    return call.text("dryRun") == "all"


def _revisions(call: Call, above: str) -> Iterator[Record]:
    for service in names.below(call, SERVICES, above):
        yield from state.revisions(call.plane, service)


def _revision(call: Call) -> Record:
    """The revision that a call names, without its service."""
    name = names.full(call, call.text("name"))
    above, _, given = name.rpartition("/revisions/")
    found = next((one for one in _revisions(call, above) if one.id == given), None)
    return found or names.record(call, REVISIONS, name)


VIEWS: dict[str, View] = {SERVICES: knative_view.service, REVISIONS: knative_view.revision}


def _printed(plane: ControlPlane, operation: Operation) -> Json:
    """Knative knows no operations: the answer is the resource as it is now."""
    record = plane.find(operation.kind, operation.target)
    wanted = any(change.name == operation.target and change.body is None for change in operation.changes)
    return DELETED if wanted or record is None else VIEWS[operation.kind](plane, record)


PRINTERS[API] = _printed
