"""Instance groups: sets of instances.  A managed one is its manager's; nothing here sends traffic to a group yet."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import filters, listing
from testbed.api.services.compute.collection import API, Collection, delete
from testbed.api.services.compute.instances import instances
from testbed.api.services.compute.names import fingerprint, url
from testbed.control.accept.plane import IN_USE, ControlPlane, InvalidResource
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.resource import last, relative

MEMBERS = "members"
"""A field of ours: the full names of the instances."""
MANAGERS = "compute.instanceGroupManagers"


def members(plane: ControlPlane, group: Record) -> list[Record]:
    """The instances of a group that are there."""
    found = (plane.find(instances.INSTANCES.kind, name) for name in group.body.get(MEMBERS, ()))
    return [record for record in found if record is not None]


def view(plane: ControlPlane, record: Record) -> Json:
    """What the server says of a group."""
    found = members(plane, record)
    result: Json = {"size": len(found), "fingerprint": fingerprint(record.name, record.body.get("namedPorts"))}
    subnet = found and plane.find("compute.subnetworks", found[0].body["networkInterfaces"][0]["subnetwork"])
    if subnet:
        result |= {"network": url(subnet.body["network"]), "subnetwork": url(subnet.name)}
    return result


def manager_of(plane: ControlPlane, group: Record) -> Record | None:
    """The manager of a group, which has its name."""
    return plane.find(MANAGERS, group.name.replace("/instanceGroups/", "/instanceGroupManagers/"))


GROUPS = Collection(
    name="instanceGroups", singular="instanceGroup", scope="zones", view=view, hidden=frozenset({MEMBERS})
).register("insert", "get", "list", "aggregatedList")


@serves(API, "instanceGroups.delete")
def remove(call: Call) -> Answer:
    """Delete a group, not its instances."""
    _unmanaged(call)
    return delete(GROUPS, call)


@serves(API, "instanceGroups.listInstances")
def list_instances(call: Call) -> Json:
    """The instances of a group."""
    group = GROUPS.record(call)
    ports = {"namedPorts": group.body["namedPorts"]} if "namedPorts" in group.body else {}
    found = [
        {"instance": url(record.name), "status": instances.status(record), **ports}
        for record in members(call.plane, group)
    ]
    if call.body.get("instanceState") == "RUNNING":
        found = [item for item in found if item["status"] == "RUNNING"]
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.compute(call.text("filter")),
        collection=group.name,
        rules=listing.COMPUTE,
        key=lambda item: str(item["instance"]),
    )
    answer: Json = {
        "kind": "compute#instanceGroupsListInstances",
        "id": group.name,
        "items": list(page.items),
        "selfLink": url(f"{group.name}/listInstances"),
    }
    return {**answer, **page.following}


@serves(API, "instanceGroups.addInstances")
def add_instances(call: Call) -> Answer:
    """Put instances into a group.

    Raises:
        InvalidArgument: one is in it already.
        NotFound: there is no such instance.
    """
    group = _unmanaged(call)
    added = [_named(call, group, item.get("instance", "")) for item in call.body.get("instances", ())]
    for name in added:
        if name in group.body.get(MEMBERS, ()):
            raise InvalidArgument(
                f"instance '{name}': it is a member of instance group '{group.name}' already",
                reason="memberAlreadyExists",
            )
    return _change(call, group, {MEMBERS: [*group.body.get(MEMBERS, ()), *added]})


@serves(API, "instanceGroups.removeInstances")
def remove_instances(call: Call) -> Answer:
    """Take instances out of a group.

    Raises:
        InvalidArgument: one is not in it.
    """
    group = _unmanaged(call)
    removed = [_named(call, group, item.get("instance", "")) for item in call.body.get("instances", ())]
    for name in removed:
        if name not in group.body.get(MEMBERS, ()):
            raise InvalidArgument(
                f"instance '{name}': it is not a member of instance group '{group.name}'", reason="memberNotFound"
            )
    return _change(call, group, {MEMBERS: [name for name in group.body[MEMBERS] if name not in removed]})


@serves(API, "instanceGroups.setNamedPorts")
def set_named_ports(call: Call) -> Answer:
    """Give names to ports."""
    return _change(call, GROUPS.settled(call), {"namedPorts": call.body.get("namedPorts", [])})


def _change(call: Call, group: Record, fields: Json) -> Answer:
    change = ResourceChange(group.kind, group.name, {**group.body, **fields})
    return call.plane.submit(GROUPS.operation(call, group.name, (change,), call.method.action))


def _unmanaged(call: Call) -> Record:
    """The group that a call names.

    Raises:
        FailedPrecondition: it is its manager's to change.
    """
    group = GROUPS.settled(call)
    if manager := manager_of(call.plane, group):
        message = f"The instance_group resource '{group.name}' is already being used by '{manager.name}'"
        raise FailedPrecondition(GoogleText(message), reason=IN_USE)
    return group


def _named(call: Call, group: Record, text: str) -> str:
    """The full name of an instance that a body names, which is in the group's zone.

    Raises:
        InvalidResource, NotFound: it is not.
    """
    zone = group.name.partition("/instanceGroups/")[0]
    name = f"{zone}/instances/{last(relative(text))}"
    if "/" in text and not name.endswith(relative(text)):
        raise InvalidResource(("instances",), text, f"the instance must be in {zone}")
    if not call.plane.find(instances.INSTANCES.kind, name):
        raise NotFound(GoogleText(f"The resource '{name}' was not found"), reason="notFound")
    return name
