"""The disks of instances.  No packet knows of them; of the boot disk, an instance has its image.

A disk that is deleted with its instance is no more than a part of that; one that outlives it is a record of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.api.calls.call import Call
from testbed.api.services.compute.instances import images, machine_types
from testbed.api.services.compute.instances.bodies import Place
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText
from testbed.json_object import Json
from testbed.model.compute.images import BUILT_IN, newest
from testbed.model.core.annotations import Path
from testbed.model.core.names import COMPUTE_NAME
from testbed.model.core.resource import last, relative

KIND = "compute.disks"
_FILE: Json = {"initializeParams": {"sourceImage": BUILT_IN}}
"""The disk of an instance whose topology file does not tell it."""


def with_disks(body: Json, place: Place) -> tuple[Json, tuple[ResourceChange, ...]]:
    """A body whose disks are known, and the changes that make those that outlive the instance.

    Raises:
        InvalidArgument, NotFound, AlreadyExists: as Google refuses it.
    """
    disks = list(body.get("disks", ()))
    if not disks:
        raise InvalidResource(("disks",), "", GoogleText("Boot disk must be specified."))
    if not any(disk.get("boot") for disk in disks):
        disks[0] = {**disks[0], "boot": True}
    whole = [_whole(disk, body["name"], i, place) for i, disk in enumerate(disks)]
    made = (
        ResourceChange(KIND, after["source"], _body(after))
        for before, after in zip(disks, whole, strict=True)
        if not before.get("source") and not after["autoDelete"]
    )
    return {**body, "disks": whole}, tuple(made)


def _whole(given: Json, instance: str, index: int, place: Place) -> Json:
    path: Path = ("disks", index)
    disk = {
        "mode": "READ_WRITE",
        "interface": "SCSI",
        "autoDelete": False,
        "boot": False,
        "type": "PERSISTENT",
        "deviceName": f"persistent-disk-{index}",
        **given,
    }
    parameters: Json = disk.get("initializeParams", {})
    if source := disk.get("source"):
        found = place.call.plane.get(KIND, place.reference(source, "zones/-/disks", (*path, "source")))
        disk |= {"source": found.name, "diskSizeGb": found.body["sizeGb"]}
        image = found.body.get("sourceImage")
    else:
        image = parameters.get("sourceImage")
        disk["source"] = _unused(parameters.get("diskName") or _name(instance, index, disk), place, path)
        disk.setdefault("diskSizeGb", parameters.get("diskSizeGb", str(images.SMALLEST_DISK)))
        disk["initializeParams"] = {**parameters, "diskType": _type(parameters, place, path)}
    if disk["boot"]:
        if image is None:
            raise InvalidResource(path, given, GoogleText("Boot disk must have a source specified"))
        images.check(place.call.images, image, (*path, "initializeParams", "sourceImage"))
        # Whichever way the caller came, the image is the same.
        disk["initializeParams"] = {**disk.get("initializeParams", {}), "sourceImage": newest(relative(image))}
    return disk


def _name(instance: str, index: int, disk: Json) -> str:
    return instance if disk["boot"] else f"{instance}-{index}"


def _unused(name: str, place: Place, path: Path) -> str:
    if not COMPUTE_NAME.fullmatch(name):
        raise InvalidResource((*path, "initializeParams", "diskName"), name, "must be the name of a disk")
    full, plane = place.full("disks", name), place.call.plane
    if plane.find(KIND, full) or users(plane, full):
        raise AlreadyExists(GoogleText(f"The resource '{full}' already exists"), reason="alreadyExists")
    return full


def _type(parameters: Json, place: Place, path: Path) -> str:
    kind = last(parameters.get("diskType", "pd-standard"))
    if kind not in machine_types.DISK_TYPES:
        where = (*path, "initializeParams", "diskType")
        raise InvalidResource(where, kind, GoogleText("The referenced resource does not exist."))
    return place.full("diskTypes", kind)


def _body(disk: Json) -> Json:
    """The body of a disk by what an instance says of it."""
    zone, parameters = disk["source"].rpartition("/disks/")[0], disk.get("initializeParams", {})
    result: Json = {
        "type": parameters.get("diskType", f"{zone}/diskTypes/pd-standard"),
        "sizeGb": disk.get("diskSizeGb", str(images.SMALLEST_DISK)),
    }
    for key in ("sourceImage", "labels", "description", "licenses"):
        if key in parameters:
            result[key] = parameters[key]
    return result


def attached(record: Record) -> list[Json]:
    """The disks of an instance, each with its full name as source."""
    own = record.name.replace("/instances/", "/disks/")
    return [{"source": own, **disk} for disk in record.body.get("disks") or [_FILE]]


def of_instances(plane: ControlPlane, project: str) -> Iterator[Record]:
    """The disks that are parts of instances."""
    for record in plane.list("compute.instances", f"projects/{project}/"):
        for disk in attached(record):
            yield Record(KIND, disk["source"], _body(disk), created=record.created)


def users(plane: ControlPlane, disk: str) -> list[str]:
    """The instances that have a disk."""
    found = plane.list("compute.instances", f"{disk.rpartition('/disks/')[0]}/instances/")
    return [record.name for record in found if any(one["source"] == disk for one in attached(record))]


def deleted_with(record: Record, call: Call) -> Iterator[ResourceChange]:
    """The changes that delete the records of disks that go with an instance."""
    for disk in attached(record):
        if disk.get("autoDelete", True) and call.plane.find(KIND, disk["source"]):
            yield ResourceChange(KIND, disk["source"], None)


def view(record: Record) -> list[Json]:
    """The disks as their instance prints them: what they were made from is theirs to say."""
    found = []
    for index, disk in enumerate(attached(record)):
        shown = {key: value for key, value in disk.items() if key != "initializeParams"}
        found.append(
            {
                "kind": "compute#attachedDisk",
                "type": "PERSISTENT",
                "mode": "READ_WRITE",
                "interface": "SCSI",
                "deviceName": f"persistent-disk-{index}",
                "boot": index == 0,
                "autoDelete": True,
                "diskSizeGb": str(images.SMALLEST_DISK),
                "architecture": "X86_64",
                **shown,
                "index": index,
                "source": url(disk["source"]),
            }
        )
    return found
