"""Serverless VPC Access, v1 and v1beta1: connectors (behaviour 1)."""

from __future__ import annotations

from functools import partial

from testbed.api import filters, listing, masks
from testbed.api.call import PRINTERS, Answer, Call, serves
from testbed.api.clock import timestamp
from testbed.api.discovery import Json
from testbed.api.longrunning import LongRunning
from testbed.control.operations import Change, Operation
from testbed.control.plane import ControlPlane
from testbed.control.resources import Record
from testbed.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from testbed.model.base import last, segment
from testbed.model.places import REGIONS
from testbed.model.vpcaccess import MBPS_PER_INSTANCE, Connector

APIS = "vpcaccess.v1 vpcaccess.v1beta1"
KIND = "vpcaccess.connectors"
DEFAULT_MACHINE_TYPE = "e2-micro"
MUTABLE = ("machineType", "minInstances", "maxInstances")
"""What an update may change (behaviour 1.8.1)."""
NO_MAXIMUM = "Operation failed: A Connector must specify either max_throughput or max_instances."
"""What a create ends with that names neither (behaviour 1.3.3)."""


@serves(APIS, "projects.locations.connectors.create")
def create(call: Call) -> Answer:
    """Accept a connector; whether its range is free and its instances get healthy is the operation's to find out."""
    parent, body = call.text("parent"), call.body
    if "name" in body:
        raise InvalidArgument("Connector name must not be set.")  # behaviour 1.1.7
    region = _region(parent)
    given = call.text("connectorId")
    name = f"{parent}/connectors/{given}"
    if call.plane.find(KIND, name):
        raise AlreadyExists(f"Resource '{name}' already exists", reason="alreadyExists")  # behaviour 1.5.5
    whole = converted({"machineType": DEFAULT_MACHINE_TYPE, **body, "name": name})
    known = call.scope(segment(name, "projects"), region=region)
    if "maxInstances" not in whole:
        call.plane.resolve(KIND, {**whole, "maxInstances": 10, "minInstances": 2}, known)  # the rest has to be right
        fails = {"code": 3, "message": NO_MAXIMUM}
        operation = call.operation(KIND, name, changes=(Change(KIND, name, whole),), facts={"fails": fails})
    else:
        resolved = call.plane.resolve(KIND, whole, known)
        operation = call.operation(KIND, name, changes=(Change(KIND, name, resolved),))
    return call.plane.submit(operation)


@serves(APIS, "projects.locations.connectors.patch")
def patch(call: Call) -> Answer:
    """Change machine type or numbers of instances, which can only grow (behaviour 1.8)."""
    record = _connector(call)
    if record.error or record.pending:
        raise FailedPrecondition(f"Connector {record.id} is not in a state in which it can be updated.")
    paths = masks.paths(call.text("updateMask"))
    wanted = {path[0] for path in paths} if paths else set(call.body) - {"name"}
    for name in sorted(wanted):
        if name not in MUTABLE and call.body.get(name) != record.body.get(name):
            raise InvalidArgument(f"Field {name} of a connector cannot be changed.")  # behaviour 1.8.1
    changed = {**record.body, **{name: call.body[name] for name in wanted if name in call.body and name in MUTABLE}}
    for end in ("minInstances", "maxInstances"):
        if changed[end] < record.body[end]:  # behaviour 1.8.2
            raise InvalidArgument("Decreasing the number of instances for existing connectors is not supported.")
    for end in ("minThroughput", "maxThroughput"):
        changed.pop(end, None)  # instances win (behaviour 1.3.2)
    known = call.scope(segment(record.name, "projects"), region=segment(record.name, "locations"))
    resolved = call.plane.resolve(KIND, converted(changed), known)
    return call.plane.submit(call.operation(KIND, record.name, changes=(Change(KIND, record.name, resolved),)))


@serves(APIS, "projects.locations.connectors.delete")
def delete(call: Call) -> Answer:
    """Delete a connector, whether or not services use it (behaviour 1.10.2)."""
    record = _connector(call)
    return call.plane.submit(call.operation(KIND, record.name, changes=(Change(KIND, record.name, None),)))


@serves(APIS, "projects.locations.connectors.get")
def get(call: Call) -> Json:
    """One connector."""
    return view(call.method.api, call.plane, _connector(call))


@serves(APIS, "projects.locations.connectors.list")
def list_(call: Call) -> Json:
    """The connectors of a region, or (`-`) of all."""
    parent = call.text("parent")
    prefix = parent.removesuffix("-") if parent.endswith("/locations/-") else f"{parent}/"
    page = listing.page(
        [view(call.method.api, call.plane, record) for record in call.plane.list(KIND, prefix)],
        size=call.number("pageSize"), token=call.text("pageToken"), collection=parent,
    )  # fmt: skip
    answer: Json = {"connectors": list(page.items)} if page.items else {}
    return {**answer, "nextPageToken": page.next_token} if page.next_token else answer


@serves(f"{APIS} cloudfunctions.v1 cloudfunctions.v2 redis.v1", "projects.locations.list")
def locations(call: Call) -> Json:
    """Every region (behaviour 5.4.1)."""
    project = call.text("name")
    known = [
        {"name": f"{project}/locations/{region}", "locationId": region, "displayName": region,
         "labels": {"cloud.googleapis.com/region": region}}
        for region in REGIONS
    ]  # fmt: skip
    page = listing.page(
        known, size=call.number("pageSize"), token=call.text("pageToken"),
        predicate=filters.aip160(call.text("filter")), collection=project,
    )  # fmt: skip
    answer: Json = {"locations": list(page.items)}
    return {**answer, "nextPageToken": page.next_token} if page.next_token else answer


def converted(body: Json) -> Json:
    """Instances and throughput, each from the other; instances win where both are given (behaviour 1.3.1, 1.3.2)."""
    result = dict(body)
    for end, default in (("min", 2), ("max", None)):
        instances, throughput = f"{end}Instances", f"{end}Throughput"
        if throughput in result and result[throughput] % MBPS_PER_INSTANCE:
            raise InvalidArgument(f"{throughput} must be a multiple of {MBPS_PER_INSTANCE}.")
        count = result.get(instances) or result.get(throughput, 0) // MBPS_PER_INSTANCE or default
        if count:
            result[instances], result[throughput] = count, count * MBPS_PER_INSTANCE
    return result


def state_of(plane: ControlPlane, record: Record) -> str:
    """The state of a connector (behaviour 1.2.11)."""
    if record.pending:
        created = record.generation == 1 and not record.deleting
        return "DELETING" if record.deleting else "CREATING" if created else "UPDATING"
    if record.error:
        return "ERROR"
    known, _ = plane.store.connector_states().get(record.name, ("READY", ""))
    return known


def view(api: str, plane: ControlPlane, record: Record) -> Json:
    """A connector as an API prints it."""
    body = record.body
    result = converted({key: value for key, value in body.items() if key in _FIELDS})
    result["name"] = record.name
    if "network" in result:
        result["network"] = last(result["network"])
    result["state"] = state_of(plane, record)
    if users := connected_projects(plane, record.name):
        result["connectedProjects"] = users
    if api.endswith("v1beta1"):
        result["createTime"] = result["lastRestartTime"] = timestamp(record.created)
    return result


_FIELDS = frozenset(field.alias or name for name, field in Connector.model_fields.items())


def connected_projects(plane: ControlPlane, connector: str) -> list[str]:
    """The projects whose services use a connector (behaviour 1.2.13)."""
    found: set[str] = set()
    for record in plane.list("run.services"):
        if record.body.get("template", {}).get("vpcAccess", {}).get("connector") == connector:
            found.add(segment(record.name, "projects"))
    for record in plane.list("cloudfunctions.functions"):
        if record.body.get("serviceConfig", {}).get("vpcConnector") == connector:
            found.add(segment(record.name, "projects"))
    for record in plane.list("appengine.versions"):
        if record.body.get("vpcAccessConnector", {}).get("name") == connector:
            found.add(segment(record.name, "apps"))
    return sorted(found)


def _connector(call: Call) -> Record:
    """The connector that a call names.

    Raises:
        NotFound: there is none (behaviour 1.1.4).
    """
    name = call.text("name")
    if record := call.plane.find(KIND, name):
        return record
    raise NotFound(f"Resource '{name}' was not found", reason="notFound")


def _region(parent: str) -> str:
    """The region of a parent.

    Raises:
        InvalidArgument: Google has no such region.
    """
    region = segment(parent, "locations")
    if region not in REGIONS:
        raise InvalidArgument(f"Location {region} is not found or access is unauthorized.")
    return region


def _metadata(version: str, operation: Operation) -> Json:
    """`OperationMetadata` (behaviour 1.7.2)."""
    verb = {"create": "Create", "patch": "Update", "delete": "Delete"}[operation.method.rpartition(".")[2]]
    result: Json = {
        "method": f"google.cloud.vpcaccess.{version}.Connectors.{verb}Connector",
        "createTime": timestamp(operation.accepted), "target": operation.target,
    }  # fmt: skip
    if operation.ended:
        result["endTime"] = timestamp(operation.ended)
    return result


for _version in ("v1", "v1beta1"):
    PRINTERS[f"vpcaccess.{_version}"] = LongRunning(
        metadata_type=f"google.cloud.vpcaccess.{_version}.OperationMetadata",
        metadata=partial(_metadata, _version),
        response_type=f"google.cloud.vpcaccess.{_version}.Connector",
        view=partial(view, f"vpcaccess.{_version}"),
    )
