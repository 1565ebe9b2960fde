"""Serverless VPC Access, v1 and v1beta1: connectors (behaviour 1)."""

from __future__ import annotations

from functools import partial
from typing import Any

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import LongRunning
from testbed.api.contract import filters, listing, masks
from testbed.api.services.located import found, listed, location, region_of, unused
from testbed.control.accept.plane import ControlPlane
from testbed.control.lifecycle import CONNECTOR
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.places import REGIONS
from testbed.model.core.resource import last, segment
from testbed.model.serverless.connector import DEFAULT_MACHINE_TYPE, MBPS_PER_INSTANCE, Connector

APIS = "vpcaccess.v1 vpcaccess.v1beta1"
KIND = CONNECTOR
MUTABLE = frozenset({"machineType", "minInstances", "maxInstances"})
"""What an update may change (behaviour 1.8.1)."""
_ENDS = frozenset({"minInstances", "maxInstances"})
NO_MAXIMUM = "Operation failed: A Connector must specify either max_throughput or max_instances."
"""What a create ends with that names neither (behaviour 1.3.3)."""
_OURS = frozenset({"capacity"})
"""What a connector has that is no field of Google's: no API shows or changes it."""
_FIELDS = frozenset(field.alias or name for name, field in Connector.model_fields.items()) - _OURS
_USERS = ("run.services", "run.jobs", "cloudfunctions.functions", "appengine.versions")
"""Kinds of resources that name the connector that they use."""


@serves(APIS, "projects.locations.connectors.create")
def create(call: Call) -> Answer:
    """Accept a connector; whether its range is free and its instances get healthy is the operation's to find out."""
    parent, body = call.text("parent"), call.body
    if "name" in body:
        raise InvalidArgument(GoogleText("Connector name must not be set."))  # behaviour 1.1.7
    region = region_of(parent)
    name = unused(call, KIND, f"{parent}/connectors/{call.text('connectorId')}")
    if "subnet" in body:  # gcloud also names the network `default` (behaviour 1.2.2)
        body = {key: value for key, value in body.items() if key != "network"}
    whole = converted({"machineType": DEFAULT_MACHINE_TYPE, **body, "name": name})
    known = call.scope(segment(name, "projects"), region=region)
    facts: Json = {}
    resolved = call.plane.resolve(KIND, {"minInstances": 2, "maxInstances": 10, **whole}, known)
    if "maxInstances" in whole:
        whole = resolved
    else:  # all the rest is right
        facts["fails"] = {"code": 3, "message": GoogleText(NO_MAXIMUM)}
    if "network" in resolved and segment(resolved["network"], "projects") != segment(name, "projects"):
        raise InvalidArgument(
            "ipCidrRange: a connector with a range of its own must be in a network of its own project;"
            " in a Shared VPC network, give it a subnet"
        )  # behaviour 1.6.4
    return call.plane.submit(call.operation(KIND, name, changes=(ResourceChange(KIND, name, whole),), facts=facts))


@serves(APIS, "projects.locations.connectors.patch")
def patch(call: Call) -> Answer:
    """Change machine type or numbers of instances, which can only grow (behaviour 1.8)."""
    record = found(call, KIND)
    if record.error:
        raise FailedPrecondition(f"connector {record.id}: it is in state ERROR and can only be deleted")
    before = whole_body(call.plane, record)
    given = {key: value for key, value in call.body.items() if key in _FIELDS - {"name"}}
    mask = masks.paths(call.text("updateMask"))
    touched = {path[0] for path in mask} if mask else {*given}
    if len(touched & _ENDS) == 1:  # behaviour 1.8.4
        raise InvalidArgument("minInstances, maxInstances: both must be sent, even if only one of them changes")
    after = masks.apply(before, given, mask, known=_FIELDS, output_only={"name"})
    if "network" in after:
        after["network"] = last(after["network"])
    for name in _FIELDS - MUTABLE:
        if after.get(name) != before.get(name):
            raise InvalidArgument(f"connector: the field {name} cannot be changed")  # behaviour 1.8.1
    for end in _ENDS:
        if after.get(end, 0) < before[end]:  # behaviour 1.8.2
            raise InvalidArgument(
                GoogleText("Decreasing the number of instances for existing connectors is not supported.")
            )
    known = call.scope(segment(record.name, "projects"), region=segment(record.name, "locations"))
    if "subnet" in record.body:
        after.pop("network", None)
    kept = {key: value for key, value in record.body.items() if key in _OURS}
    resolved = call.plane.resolve(KIND, converted({"machineType": DEFAULT_MACHINE_TYPE, **after, **kept}), known)
    operation = call.plane.submit(
        call.operation(KIND, record.name, changes=(ResourceChange(KIND, record.name, resolved),))
    )
    if resolved["machineType"] != before["machineType"]:
        call.plane.set_facts(KIND, record.name, {**record.facts, "restarted": operation.accepted})
    return operation


@serves(APIS, "projects.locations.connectors.delete")
def delete(call: Call) -> Answer:
    """Delete a connector, whether or not services use it (behaviour 1.10.2)."""
    record = found(call, KIND)
    return call.plane.submit(call.operation(KIND, record.name, changes=(ResourceChange(KIND, record.name, None),)))


@serves(APIS, "projects.locations.connectors.get")
def get(call: Call) -> Json:
    """One connector."""
    return view(call.method.api, call.plane, found(call, KIND))


@serves(APIS, "projects.locations.connectors.list")
def list_(call: Call) -> Json:
    """The connectors of a region, or (`-`) of all."""
    return listed(call, KIND, "connectors", partial(view, call.method.api, call.plane))


@serves(f"{APIS} cloudfunctions.v1 cloudfunctions.v2 redis.v1 run.v1", "projects.locations.list")
def locations(call: Call) -> Json:
    """Every region (behaviour 5.4.1)."""
    project = call.text("name")
    page = listing.page(
        [location(project, region) for region in REGIONS],
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        predicate=filters.aip160(call.text("filter")),
        collection=project,
    )
    return page.answer("locations", always=True)


def converted(body: Json) -> Json:
    """Instances and throughput, each from the other; instances win where both are given (behaviour 1.3.1, 1.3.2)."""
    result = dict(body)
    for end, default in (("min", 2), ("max", None)):
        instances, throughput = f"{end}Instances", f"{end}Throughput"
        if throughput in result and result[throughput] % MBPS_PER_INSTANCE:
            raise InvalidArgument(f"{throughput}: must be a multiple of {MBPS_PER_INSTANCE}")
        count = result.get(instances) or result.get(throughput, 0) // MBPS_PER_INSTANCE or default
        if count:
            result[instances], result[throughput] = count, count * MBPS_PER_INSTANCE
    return result


def whole_body(plane: ControlPlane, record: Record) -> Json:
    """A connector's body with all that Google fills in."""
    body = {"machineType": DEFAULT_MACHINE_TYPE, **{key: value for key, value in record.body.items() if key in _FIELDS}}
    if "subnet" in body:
        where = {"projectId": segment(record.name, "projects"), **body["subnet"]}
        region = segment(record.name, "locations")
        name = f"projects/{where['projectId']}/regions/{region}/subnetworks/{last(where['name'])}"
        if subnet := plane.find("compute.subnetworks", name):
            body["network"] = subnet.body["network"]
    if "network" in body:
        body["network"] = last(body["network"])  # a short name (behaviour 1.2.2)
    return converted({**body, "name": record.name})


def view(api: str, plane: ControlPlane, record: Record) -> Json:
    """A connector as an API prints it."""
    result = whole_body(plane, record)
    result["state"] = state_of(plane, record)
    if users := connected_projects(plane, record.name):
        result["connectedProjects"] = users
    if api.endswith("v1beta1"):
        result["createTime"] = timestamp(record.created)
        result["lastRestartTime"] = timestamp(record.facts.get("restarted", record.created))
    return result


def state_of(plane: ControlPlane, record: Record) -> str:
    """The state of a connector (behaviour 1.2.11)."""
    if phase := plane.phase(record):
        return phase
    if record.error:
        return "ERROR"
    return plane.connector_state(record.name)  # of one that is in a topology file, `up` may be making it


def connected_projects(plane: ControlPlane, connector: str) -> list[str]:
    """The projects whose services use a connector (behaviour 1.2.13)."""
    users = (record for kind in _USERS for record in plane.list(kind))
    return sorted({record.name.split("/")[1] for record in users if _mentions(record.body, connector)})


def _mentions(body: Any, name: str) -> bool:
    if isinstance(body, dict):
        return any(_mentions(value, name) for value in body.values())
    if isinstance(body, list):
        return any(_mentions(value, name) for value in body)
    return bool(body == name)


def _metadata(version: str, operation: Operation) -> Json:
    """`OperationMetadata` (behaviour 1.7.2)."""
    verb = {"create": "Create", "patch": "Update", "delete": "Delete"}[operation.method.rpartition(".")[2]]
    result: Json = {
        "method": f"google.cloud.vpcaccess.{version}.Connectors.{verb}Connector",
        "createTime": timestamp(operation.accepted),
        "target": operation.target,
    }
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
