"""Instance templates: what the instances of a managed group are made from."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute.collection import API, Collection, delete
from testbed.api.services.compute.instances import images, machine_types
from testbed.control.accept.plane import IN_USE, InvalidResource
from testbed.errors import FailedPrecondition, GoogleText
from testbed.json_object import Json
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
    if machine_types.shape(kind) is None:
        raise InvalidResource(
            ("properties", "machineType"), kind, GoogleText("The referenced resource does not exist.")
        )
    for i, disk in enumerate(properties.get("disks", ())):
        if image := disk.get("initializeParams", {}).get("sourceImage"):
            path = ("properties", "disks", i, "initializeParams", "sourceImage")
            images.check(call.images, image, path)
    return {**body, "properties": {"canIpForward": False, **properties, "machineType": kind}}


TEMPLATES = Collection(
    name="instanceTemplates",
    singular="instanceTemplate",
    scope="global",
    complete=complete,
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
