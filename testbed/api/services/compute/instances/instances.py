"""VM instances: their methods to make, read and delete.  Each is a node; `changes` has the methods that change one."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.calls.clock import compute_timestamp
from testbed.api.services.compute.collection import API, Collection, require_settled
from testbed.api.services.compute.instances import attached_disks
from testbed.api.services.compute.instances.bodies import Place, complete
from testbed.api.services.compute.names import fingerprint, url
from testbed.control.accept.plane import ControlPlane, not_ready
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, Unimplemented
from testbed.fabric.allocation.keys import AddressKey
from testbed.json_object import Json
from testbed.model.core.resource import last

CPU_PLATFORM = "Unknown CPU Platform"
"""What Google says of an instance that does not run; here of every one: it has the CPU of its host."""


def status(record: Record) -> str:
    """The status of an instance: what it should be, or on the way to that."""
    wanted = record.body.get("status", "RUNNING")
    if not record.pending:
        return str(wanted)
    if record.deleting:
        return "STOPPING"
    if record.effective is None:
        return "PROVISIONING"
    if wanted == "RUNNING" and (record.generation == 1 or record.effective.get("status") == "TERMINATED"):
        return "STAGING"
    return "STOPPING" if wanted != record.effective.get("status", "RUNNING") else str(wanted)


def view(plane: ControlPlane, record: Record) -> Json:
    """What the server says of an instance."""
    body, project, zone = record.body, record.name.split("/")[1], record.name.split("/")[3]
    where = f"projects/{project}/zones/{zone}"
    started = body.get("lastStartTimestamp") or compute_timestamp(record.created)
    result: Json = {
        "status": status(record),
        "cpuPlatform": CPU_PLATFORM,
        "lastStartTimestamp": started,
        "machineType": url(f"{where}/machineTypes/{last(body.get('machineType', 'e2-micro'))}"),
        "networkInterfaces": [_nic_view(plane, record, nic) for nic in body["networkInterfaces"]],
        "disks": attached_disks.view(record),
        "tags": {**body.get("tags", {}), "fingerprint": tags_fingerprint(record)},
        "metadata": {
            "kind": "compute#metadata",
            **body.get("metadata", {}),
            "fingerprint": metadata_fingerprint(record),
        },
        "fingerprint": fingerprint(record.name, body),
        "canIpForward": body.get("canIpForward", False),
        "deletionProtection": body.get("deletionProtection", False),
        "startRestricted": False,
    }
    return result


def tags_fingerprint(record: Record) -> str:
    """The fingerprint of an instance's network tags."""
    return fingerprint(record.name, record.number, "tags", record.body.get("tags", {}).get("items", []))


def metadata_fingerprint(record: Record) -> str:
    """The fingerprint of an instance's metadata."""
    return fingerprint(record.name, record.number, "metadata", record.body.get("metadata", {}).get("items", []))


def _nic_view(plane: ControlPlane, record: Record, nic: Json) -> Json:
    addresses = plane.running.allocations.addresses
    subnet = plane.find("compute.subnetworks", nic["subnetwork"])
    result: Json = {
        "kind": "compute#networkInterface",
        "name": "nic0",
        "stackType": "IPV4_ONLY",
        **nic,
        "subnetwork": url(nic["subnetwork"]),
        "fingerprint": fingerprint(record.name, nic),
    }
    if subnet is not None:
        result["network"] = url(subnet.body["network"])
    if address := nic.get("networkIP") or addresses.get(AddressKey.instance(record.name)):
        result["networkIP"] = address
    if configs := nic.get("accessConfigs"):
        external = addresses.get(AddressKey.external(record.name))
        runs = record.body.get("status", "RUNNING") == "RUNNING"  # an address that is not reserved goes when it stops
        given = {"natIP": external} if external and runs else {}
        result["accessConfigs"] = [
            {
                "kind": "compute#accessConfig",
                "name": "External NAT",
                "type": "ONE_TO_ONE_NAT",
                "networkTier": "PREMIUM",
                **given,
                **config,
            }
            for config in configs
        ]
    return result


INSTANCES = Collection(name="instances", singular="instance", scope="zones", view=view, labelled=True)


@serves(API, "instances.insert")
def insert(call: Call) -> Answer:
    """Make an instance, with the disks that it does not find.

    Raises:
        InvalidArgument, NotFound, AlreadyExists: as Google refuses it.
    """
    body, zone = call.body, last(INSTANCES.place(call))
    place = Place(call, call.text("project"), zone)
    if template := call.text("sourceInstanceTemplate"):
        name = place.reference(template, "global/instanceTemplates", ("sourceInstanceTemplate",))
        body = {**call.plane.get("compute.instanceTemplates", name).body["properties"], **body}
    name, changes = making(call, body, place)
    return call.plane.submit(INSTANCES.operation(call, name, changes, "insert"))


def making(call: Call, body: Json, place: Place) -> tuple[str, tuple[ResourceChange, ...]]:
    """The full name of a new instance, and the changes that make it.

    Raises:
        InvalidArgument, NotFound, AlreadyExists: as Google refuses it.
    """
    full = INSTANCES.new(call, body.get("name", ""))
    whole, disks = attached_disks.with_disks(complete(body, place), place)
    return full, (*disks, ResourceChange("compute.instances", full, INSTANCES.resolved(call, whole, full)))


@serves(API, "instances.delete")
def delete(call: Call) -> Answer:
    """Delete an instance and the disks that go with it."""
    record = INSTANCES.record(call)
    if manager := _manager_of(call.plane, record):
        raise Unimplemented(
            f"instance {record.name}: {manager.name} manages it, and the testbed's groups do not replace deleted"
            " instances;"
            " delete it by instanceGroupManagers.deleteInstances"
        )
    return call.plane.submit(INSTANCES.operation(call, record.name, unmaking(call, record), "delete"))


def _manager_of(plane: ControlPlane, record: Record) -> Record | None:
    """The manager of the group that an instance is in."""
    zone = record.name.partition("/instances/")[0]
    for group in plane.list("compute.instanceGroups", f"{zone}/instanceGroups/"):
        if record.name in group.body.get("members", ()):
            return plane.find("compute.instanceGroupManagers", f"{zone}/instanceGroupManagers/{group.id}")
    return None


def unmaking(call: Call, record: Record) -> tuple[ResourceChange, ...]:
    """The changes that delete an instance.

    Raises:
        FailedPrecondition: it is protected, or an operation on it is under way.
    """
    require_settled(record)
    if record.body.get("deletionProtection"):
        raise FailedPrecondition(
            GoogleText(
                "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion:"
                f" {record.name}'."
            ),
            reason="invalidResourceUsage",
        )
    return ResourceChange(record.kind, record.name, None), *attached_disks.deleted_with(record, call)


@serves(API, "instances.getSerialPortOutput")
def serial_port_output(call: Call) -> Json:
    """What the instance's node has written, from a position on; there is one port.

    Raises:
        FailedPrecondition: there is no node.
    """
    record = INSTANCES.record(call)
    nodes = call.plane.running.allocations.nodes(record.name)
    log = call.plane.nodes.log(*nodes) if nodes else None
    if log is None:
        raise not_ready(record)
    contents = log if call.number("port", 1) == 1 else ""
    start = call.number("start")
    return {
        "kind": "compute#serialPortOutput",
        "contents": contents[start:],
        "start": str(start),
        "next": str(len(contents)),
        "selfLink": url(f"{record.name}/serialPort"),
    }


INSTANCES.register("get", "list", "aggregatedList", "setLabels")
