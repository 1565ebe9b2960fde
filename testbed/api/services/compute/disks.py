"""Disks: records of what instances boot from.  No packet knows of them."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.api.call import Answer, Call, serves
from testbed.api.discovery import Json
from testbed.api.services.compute import images, machine_types
from testbed.api.services.compute.collection import API, Collection, delete
from testbed.api.services.compute.names import url
from testbed.control.plane import IN_USE, ControlPlane, InvalidResource
from testbed.control.resources import Record
from testbed.errors import FailedPrecondition
from testbed.model.base import last
from testbed.model.images import BUILT_IN

_BY_REFERENCE = ("type", "sourceImage")


def complete(body: Json, call: Call) -> Json:
    """A disk with the defaults that Google fills in."""
    zone = f"projects/{call.text('project')}/zones/{call.text('zone')}"
    image = body.get("sourceImage") or call.text("sourceImage")
    if image:
        images.check(call.images, image, ("sourceImage",))
    kind = last(body.get("type", "pd-standard"))
    if kind not in machine_types.DISK_TYPES:
        raise InvalidResource(("type",), kind, "The referenced resource does not exist.")
    size = body.get("sizeGb", str(images.SMALLEST_DISK if image else 500))
    result = {**body, "type": f"{zone}/diskTypes/{kind}", "sizeGb": size}
    return {**result, "sourceImage": image} if image else result


def view(plane: ControlPlane, record: Record) -> Json:
    """What the server says of a disk, users among it."""
    body = record.body
    result: Json = {
        "status": "DELETING" if record.deleting else "CREATING" if record.pending else "READY",
        "physicalBlockSizeBytes": "4096", "architecture": "X86_64",
        **{key: url(body[key]) for key in _BY_REFERENCE if body.get(key, "").startswith("projects/")},
    }  # fmt: skip
    users = _users(plane, record.name)
    return {**result, "users": [url(user) for user in users]} if users else result


def _users(plane: ControlPlane, disk: str) -> list[str]:
    place = disk.partition("/disks/")[0]
    found = plane.list("compute.instances", f"{place}/instances/")
    return [record.name for record in found if disk in _sources(record)]


def _sources(record: Record) -> list[str]:
    own = f"{record.name.replace('/instances/', '/disks/')}"
    return [disk.get("source", own) for disk in record.body.get("disks") or [{}]]


def _of_files(plane: ControlPlane, project: str) -> Iterator[Record]:
    """The boot disks of instances that a topology file made: it does not tell them."""
    for record in plane.list("compute.instances", f"projects/{project}/"):
        disk = (record.body.get("disks") or [{}])[0]
        if "source" not in disk:
            image = disk.get("initializeParams", {}).get("sourceImage", BUILT_IN)
            zone = record.name.partition("/instances/")[0]
            body = {"type": f"{zone}/diskTypes/pd-standard", "sizeGb": str(images.SMALLEST_DISK), "sourceImage": image}
            yield Record("compute.disks", f"{zone}/disks/{record.id}", body, created=record.created)


DISKS = Collection(
    name="disks", singular="disk", scope="zones", complete=complete, view=view, given=_of_files, labelled=True
)


@serves(API, "disks.delete")
def remove(call: Call) -> Answer:
    """Delete a disk that no instance has.

    Raises:
        FailedPrecondition: one has it.
    """
    record = DISKS.record(call)
    if users := _users(call.plane, record.name):
        message = f"The disk resource '{record.name}' is already being used by '{users[0]}'"
        raise FailedPrecondition(message, reason=IN_USE)
    return delete(DISKS, call)


DISKS.register("insert", "get", "list", "aggregatedList", "setLabels")
