"""Instance templates: what the instances of a managed group are made from."""

from __future__ import annotations

import copy

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute.collection import API, Collection, delete
from testbed.api.services.compute.instances import images
from testbed.api.services.compute.instances.bodies import access_config, scheduling
from testbed.api.services.compute.names import fingerprint, url
from testbed.control.accept.plane import IN_USE, ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText
from testbed.json_object import Json
from testbed.model.compute.machine_types import shape
from testbed.model.core.resource import last, relative


def complete(body: Json, call: Call) -> Json:
    """A template whose instances could be made, as far as that can be said without a zone.

    Raises:
        InvalidArgument: they could not.
    """
    if "properties" not in body:
        raise InvalidResource(("properties",), "", "must be given")
    properties = body["properties"]
    kind = last(relative(properties.get("machineType", "")))
    if shape(kind) is None:
        raise InvalidResource(
            ("properties", "machineType"), kind, GoogleText("The referenced resource does not exist.")
        )
    for i, disk in enumerate(properties.get("disks", ())):
        if image := disk.get("initializeParams", {}).get("sourceImage"):
            path = ("properties", "disks", i, "initializeParams", "sourceImage")
            images.check(call.images, image, path)
    return {**body, "properties": {"canIpForward": False, **properties, "machineType": kind}}


def view(_: ControlPlane, record: Record) -> Json:
    """The properties with the kinds, names and defaults of an instance's parts."""
    given = copy.deepcopy(record.body["properties"])
    marks = fingerprint(record.name, "metadata", given.get("metadata", {}).get("items", []))
    result: Json = {
        **given,
        "metadata": {"kind": "compute#metadata", "fingerprint": marks, **given.get("metadata", {})},
        "scheduling": scheduling(given),
    }
    if disks := given.get("disks"):
        result["disks"] = [_disk(index, disk) for index, disk in enumerate(disks)]
    if nics := given.get("networkInterfaces"):
        result["networkInterfaces"] = [_nic(index, nic) for index, nic in enumerate(nics)]
    return {"properties": result}


def _disk(index: int, disk: Json) -> Json:
    return {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "deviceName": f"persistent-disk-{index}",
        "index": index,
        "boot": index == 0,
        **disk,
    }


def _nic(index: int, nic: Json) -> Json:
    shown = {"kind": "compute#networkInterface", "name": f"nic{index}", **nic}
    for key in ("network", "subnetwork"):
        if key in nic:
            shown[key] = url(nic[key])
    if configs := nic.get("accessConfigs"):
        shown["accessConfigs"] = [{"kind": "compute#accessConfig", **access_config(one)} for one in configs]
    return shown


TEMPLATES = Collection(
    name="instanceTemplates",
    singular="instanceTemplate",
    scope="global",
    complete=complete,
    view=view,
    references={
        "properties.networkInterfaces.network": "global/networks",
        "properties.networkInterfaces.subnetwork": "regions/-/subnetworks",
    },
).register("insert", "get", "list", "aggregatedList")


@serves(API, "instanceTemplates.delete")
def remove(call: Call) -> Answer:
    """Delete a template that no managed group has.

    Raises:
        FailedPrecondition: one has it.
    """
    record = TEMPLATES.record(call)
    for group in call.plane.list("compute.instanceGroupManagers"):
        if group.body["instanceTemplate"] == record.name:
            message = f"The instance_template resource '{record.name}' is already being used by '{group.name}'"
            raise FailedPrecondition(GoogleText(message), reason=IN_USE)
    return delete(TEMPLATES, call)
