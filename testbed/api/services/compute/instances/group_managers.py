"""Managed instance groups: as many instances of a template as were asked for, really made and removed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import filters, listing
from testbed.api.services.compute.collection import API, Collection, require_settled
from testbed.api.services.compute.instances import attached_disks
from testbed.api.services.compute.instances.bodies import Place, complete
from testbed.api.services.compute.instances.groups import GROUPS, MEMBERS, members
from testbed.api.services.compute.instances.instances import INSTANCES, making, status, unmaking
from testbed.api.services.compute.instances.templates import TEMPLATES
from testbed.api.services.compute.names import fingerprint, numeric_id, url
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.projects import project_number
from testbed.model.core.resource import last, relative

NOT_BUILT = (
    "allInstancesConfig",
    "autoHealingPolicies",
    "resourcePolicies",
    "standbyPolicy",
    "statefulPolicy",
    "targetPools",
    "targetStoppedSize",
    "targetSuspendedSize",
)
"""What a group would do by itself, or for a load balancer."""
_LETTERS = "0123456789bcdfghjklmnpqrstvwxz"
_LARGEST = 1000
"""Google's limit for a zonal group."""


def finish(body: Json) -> Json:
    """A manager's body with what Google fills in.

    Raises:
        InvalidArgument, NotFound: as Google refuses it.
    """
    for key in NOT_BUILT:
        if body.get(key):
            raise InvalidResource((key,), body[key], "the testbed's managed groups do not have this")
    versions = body.get("versions", [])
    if len(versions) > 1:
        raise InvalidResource(("versions",), len(versions), "the testbed's managed groups have one version")
    template = body.get("instanceTemplate") or (versions[0].get("instanceTemplate") if versions else None)
    if not template:
        raise InvalidResource(("instanceTemplate",), "", GoogleText("Required field not specified."))
    return {
        "baseInstanceName": body["name"][:54].rstrip("-"),
        "listManagedInstancesResults": "PAGELESS",
        **body,
        "instanceTemplate": template,
        "versions": [{**(versions[0] if versions else {}), "instanceTemplate": template}],
        "targetSize": _size(body.get("targetSize", 0)),
    }


def _size(value: int) -> int:
    if not 0 <= value <= _LARGEST:
        raise InvalidArgument(
            GoogleText(f"Invalid value for field 'size': '{value}'. Values must be within [0, {_LARGEST}].")
        )
    return value


def view(plane: ControlPlane, record: Record) -> Json:
    """What the server says of a manager."""
    actions = [_action(member) for member in members(plane, _group(plane, record))]
    counted = ("ABANDONING", "CREATING", "DELETING", "NONE", "RECREATING", "REFRESHING", "RESTARTING", "VERIFYING")
    body, stable = record.body, all(action == "NONE" for action in actions)
    return {
        "instanceGroup": url(_group_name(record)),
        "fingerprint": fingerprint(record.name, record.generation),
        "currentActions": {**{name.lower(): actions.count(name) for name in counted}, "creatingWithoutRetries": 0},
        "status": {
            "isStable": stable and not record.pending,
            "versionTarget": {"isReached": True},
            "stateful": {"hasStatefulConfig": False},
        },
        "versions": [
            {
                **version,
                "instanceTemplate": url(version["instanceTemplate"]),
                "targetSize": {"calculated": body["targetSize"]},
            }
            for version in body["versions"]
        ],
    }


def _action(member: Record) -> str:
    if not member.pending:
        return "NONE"
    return "DELETING" if member.deleting else "CREATING" if member.effective is None else "RECREATING"


_TEMPLATE = "global/instanceTemplates"
MANAGED = Collection(
    name="instanceGroupManagers",
    singular="instanceGroupManager",
    scope="zones",
    view=view,
    references={"instanceTemplate": _TEMPLATE, "versions.instanceTemplate": _TEMPLATE},
).register("get", "list", "aggregatedList")


# -- the group and its instances --------------------------------------------------------------------------------------


def _group_name(manager: Record) -> str:
    return manager.name.replace("/instanceGroupManagers/", "/instanceGroups/")


def _group(plane: ControlPlane, manager: Record) -> Record:
    return plane.get(GROUPS.kind, _group_name(manager))


def _place(call: Call) -> Place:
    return Place(call, call.text("project"), call.text("zone"))


def _properties(call: Call, manager: Json) -> Json:
    found: Json = call.plane.get(TEMPLATES.kind, manager["instanceTemplate"]).body["properties"]
    return found


def _body(call: Call, manager: Json, name: str) -> Json:
    """The body of an instance of a group, with the metadata that Google adds."""
    properties, project = _properties(call, manager), call.text("project")
    template = manager["instanceTemplate"].replace(project, str(project_number(project)), 1)
    creator = f"projects/{project_number(project)}/zones/{call.text('zone')}/instanceGroupManagers/{manager['name']}"
    metadata = properties.get("metadata", {})
    added = [{"key": "instance-template", "value": template}, {"key": "created-by", "value": creator}]
    return {**properties, "name": name, "metadata": {"items": [*metadata.get("items", []), *added]}}


def _made(call: Call, manager: Json, names: Sequence[str]) -> tuple[list[str], list[ResourceChange]]:
    """The full names of further instances, and the changes that make them."""
    full: list[str] = []
    changes: list[ResourceChange] = []
    for name in names:
        one, made = making(call, _body(call, manager, name), _place(call))
        full.append(one)
        changes += made
    return full, changes


def _new_names(call: Call, manager: Json, count: int) -> list[str]:
    """Names like Google's, four letters behind the group's."""
    found: list[str] = []
    while len(found) < count:
        name = f"{manager['baseInstanceName']}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"
        if name not in found and not call.plane.find(INSTANCES.kind, _place(call).full("instances", name)):
            found.append(name)
    return found


def _submit(
    call: Call, manager: Record, size: int, kept: Sequence[str], changes: Sequence[ResourceChange]
) -> Operation:
    """Accept a change of the group's members."""
    group = _group(call.plane, manager)
    body = {**manager.body, "targetSize": size}
    whole = (
        ResourceChange(manager.kind, manager.name, body),
        ResourceChange(group.kind, group.name, {**group.body, MEMBERS: [*kept]}),
        *changes,
    )
    return call.plane.submit(MANAGED.operation(call, manager.name, whole, call.method.action))


def _chosen(call: Call, manager: Record) -> list[Record]:
    """The members that a body names.

    Raises:
        InvalidArgument: one is none.
    """
    known = {record.id: record for record in members(call.plane, _group(call.plane, manager))}
    wanted = [last(relative(text)) for text in call.body.get("instances", ())]
    for name in wanted:
        if name not in known:
            raise InvalidResource(("instances",), name, "the instance is not a member of this group")
        require_settled(known[name])
    return [known[name] for name in dict.fromkeys(wanted)]


# -- methods ----------------------------------------------------------------------------------------------------------


@serves(API, "instanceGroupManagers.insert")
def insert(call: Call) -> Answer:
    """Make a group with its instances."""
    full = MANAGED.new(call, call.body.get("name", ""))
    group = GROUPS.new(call, call.body["name"])
    body = MANAGED.resolved(call, finish(call.body), full)
    names, made = _made(call, body, _new_names(call, body, body["targetSize"]))
    ports = {"namedPorts": body["namedPorts"]} if body.get("namedPorts") else {}
    changes = (
        ResourceChange(MANAGED.kind, full, body),
        ResourceChange(GROUPS.kind, group, {"name": body["name"], MEMBERS: names, **ports}),
        *made,
    )
    return call.plane.submit(MANAGED.operation(call, full, changes, "compute.instanceGroupManagers.insert"))


@serves(API, "instanceGroupManagers.delete")
def delete(call: Call) -> Answer:
    """Delete a group and its instances."""
    manager = MANAGED.settled(call)
    group = _group(call.plane, manager)
    gone = [change for record in members(call.plane, group) for change in unmaking(call, record)]
    changes = (ResourceChange(manager.kind, manager.name, None), ResourceChange(group.kind, group.name, None), *gone)
    return call.plane.submit(MANAGED.operation(call, manager.name, changes, "compute.instanceGroupManagers.delete"))


@serves(API, "instanceGroupManagers.resize")
def resize(call: Call) -> Answer:
    """More instances, or fewer: those made last go first."""
    manager, size = MANAGED.settled(call), _size(call.number("size"))
    present = members(call.plane, _group(call.plane, manager))
    names = [record.name for record in present[:size]]
    gone = [change for record in present[size:] for change in unmaking(call, record)]
    added, made = _made(call, manager.body, _new_names(call, manager.body, size - len(names)))
    return _submit(call, manager, size, [*names, *added], [*gone, *made])


@serves(API, "instanceGroupManagers.createInstances")
def create_instances(call: Call) -> Answer:
    """Further instances, of given names."""
    manager = MANAGED.settled(call)
    present = [record.name for record in members(call.plane, _group(call.plane, manager))]
    added, made = _made(call, manager.body, [item.get("name", "") for item in call.body.get("instances", ())])
    return _submit(call, manager, len(present) + len(added), [*present, *added], made)


@serves(API, "instanceGroupManagers.deleteInstances", "instanceGroupManagers.abandonInstances")
def remove_instances(call: Call) -> Answer:
    """Fewer instances: these.  Abandoned ones go on without the group."""
    manager = MANAGED.settled(call)
    chosen = _chosen(call, manager)
    gone = {record.name for record in chosen}
    kept = [r.name for r in members(call.plane, _group(call.plane, manager)) if r.name not in gone]
    abandoned = call.method.action == "abandonInstances"
    changes = [] if abandoned else [change for record in chosen for change in unmaking(call, record)]
    return _submit(call, manager, len(kept), kept, changes)


@serves(API, "instanceGroupManagers.recreateInstances")
def recreate_instances(call: Call) -> Answer:
    """These instances anew, as the template is now; names and addresses stay."""
    manager = MANAGED.settled(call)
    chosen = _chosen(call, manager)
    changes = tuple(change for record in chosen for change in _remade(call, manager.body, record))
    names = [record.name for record in chosen]
    return call.plane.submit(MANAGED.operation(call, manager.name, changes, "recreateInstances", restarts=names))


def _remade(call: Call, manager: Json, record: Record) -> list[ResourceChange]:
    whole = complete(_body(call, manager, record.id), _place(call))
    changes: list[ResourceChange] = []
    disks = []
    for old, new in zip(record.body["disks"], whole["disks"], strict=False):
        parameters = new.get("initializeParams", {})
        disks.append({**old, "initializeParams": parameters} if old["boot"] else old)
        disk = call.plane.find(attached_disks.KIND, old["source"])
        if disk is not None and "sourceImage" in parameters:
            changes.append(
                ResourceChange(disk.kind, disk.name, {**disk.body, "sourceImage": parameters["sourceImage"]})
            )
    return [
        ResourceChange(record.kind, record.name, INSTANCES.resolved(call, {**whole, "disks": disks}, record.name)),
        *changes,
    ]


@serves(API, "instanceGroupManagers.setInstanceTemplate")
def set_instance_template(call: Call) -> Answer:
    """Another template, for instances made from now on."""
    manager = MANAGED.settled(call)
    template = call.body.get("instanceTemplate", "")
    kept = {key: value for key, value in manager.body.items() if key != "versions"}
    body = MANAGED.resolved(call, finish({**kept, "instanceTemplate": template}), manager.name)
    changes = (ResourceChange(manager.kind, manager.name, body),)
    return call.plane.submit(MANAGED.operation(call, manager.name, changes, "setInstanceTemplate"))


@serves(API, "instanceGroupManagers.listManagedInstances")
def list_managed_instances(call: Call) -> Json:
    """The instances of a group, and what happens to them."""
    manager = MANAGED.record(call)
    template = url(manager.body["instanceTemplate"])
    found = [
        {
            "instance": url(record.name),
            "name": record.id,
            "id": numeric_id(f"{record.name}#{record.number}"),
            "instanceStatus": status(record),
            "currentAction": _action(record),
            "targetStatus": "RUNNING",
            "version": {"instanceTemplate": template},
        }
        for record in members(call.plane, _group(call.plane, manager))
    ]
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.compute(call.text("filter")),
        collection=manager.name,
        rules=listing.COMPUTE,
    )
    return page.answer("managedInstances")


@serves(API, "instanceGroupManagers.listErrors")
def list_errors(call: Call) -> Json:
    """What went wrong with instances: an operation that fails leaves nothing behind, so there is nothing."""
    MANAGED.record(call)
    return {}
