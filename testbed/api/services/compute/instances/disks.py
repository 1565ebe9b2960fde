"""Disks: records of what instances boot from.  No packet knows of them."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute.collection import API, Collection, delete
from testbed.api.services.compute.instances import attached_disks, images, machine_types
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import IN_USE, ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText
from testbed.json_object import Json
from testbed.model.compute.images import newest
from testbed.model.core.resource import last

_BY_REFERENCE = ("type", "sourceImage")


def complete(body: Json, call: Call) -> Json:
    """A disk with the defaults that Google fills in."""
    zone = f"projects/{call.text('project')}/zones/{call.text('zone')}"
    image = body.get("sourceImage") or call.text("sourceImage")
    if image:
        images.check(call.images, image, ("sourceImage",))
    kind = last(body.get("type", "pd-standard"))
    if kind not in machine_types.DISK_TYPES:
        raise InvalidResource(("type",), kind, GoogleText("The referenced resource does not exist."))
    size = body.get("sizeGb", str(images.SMALLEST_DISK if image else 500))
    result = {**body, "type": f"{zone}/diskTypes/{kind}", "sizeGb": size}
    return {**result, "sourceImage": newest(image)} if image else result


def view(plane: ControlPlane, record: Record) -> Json:
    """What the server says of a disk, users among it."""
    body = record.body
    result: Json = {
        "status": "DELETING" if record.deleting else "CREATING" if record.pending else "READY",
        "physicalBlockSizeBytes": "4096",
        "architecture": "X86_64",
        **{key: url(body[key]) for key in _BY_REFERENCE if body.get(key, "").startswith("projects/")},
    }
    users = attached_disks.users(plane, record.name)
    return {**result, "users": [url(user) for user in users]} if users else result


DISKS = Collection(
    name="disks",
    singular="disk",
    scope="zones",
    complete=complete,
    view=view,
    given=attached_disks.of_instances,
    labelled=True,
)


@serves(API, "disks.delete")
def remove(call: Call) -> Answer:
    """Delete a disk that no instance has.

    Raises:
        FailedPrecondition: one has it.
    """
    record = DISKS.record(call)
    if users := attached_disks.users(call.plane, record.name):
        message = f"The disk resource '{record.name}' is already being used by '{users[0]}'"
        raise FailedPrecondition(GoogleText(message), reason=IN_USE)
    return delete(DISKS, call)


DISKS.register("insert", "get", "list", "aggregatedList", "setLabels")
