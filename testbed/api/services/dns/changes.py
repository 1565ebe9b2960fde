"""Changes of record sets: a list of deletions and additions that come true together, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import filters, masks
from testbed.api.services.dns import faults
from testbed.api.services.dns.base import (
    API,
    CARRIED_OUT,
    CHANGES,
    RECORDS,
    carried_out,
    moment,
    page,
    visibility,
    zone_of,
)
from testbed.api.services.dns.records import Key, changed, checked, initial, key_of, title
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.json_object import Json

SHOWN = "shown"
"""The fact of an operation on one record set: how it is printed."""
_ZONE = "managedZone"
"""Where the model has a record set's zone; Cloud DNS shows none."""


def found(plane: ControlPlane, zone: Record) -> dict[Key, Json]:
    """The record sets of a zone: the first ones, where no others have taken their place, and all others."""
    kept = (record.body for record in plane.list(RECORDS, f"{zone.name}/rrsets/") if not record.deleting)
    first = initial(zone.body["dnsName"], visibility(zone.body))
    return {key_of(one): one for one in [*first, *({k: v for k, v in b.items() if k != _ZONE} for b in kept)]}


def begin(call: Call, zone: Record, operation: str) -> None:
    """Note the SOA and NS of a new zone as its change 0."""
    _note(call.plane, zone, initial(zone.body["dnsName"], visibility(zone.body)), [], operation)


def apply(call: Call, zone: Record, additions: Sequence[Json], deletions: Sequence[Json], entity: str) -> Operation:
    """Change the record sets of a zone; the change is done when the name server answers by it.

    Raises:
        NotFound, FailedPrecondition, AlreadyExists, InvalidArgument: Google would refuse it.
    """
    dns_name = zone.body["dnsName"]
    added = [checked(one, f"{entity}.additions[{i}]", dns_name) for i, one in enumerate(additions)]
    deleted = [checked(one, f"{entity}.deletions[{i}]", dns_name) for i, one in enumerate(deletions)]
    present = found(call.plane, zone)
    changed(present, added, deleted, dns_name, entity)
    new = {_name(zone, key_of(one)): {**one, _ZONE: zone.name} for one in added}
    old = {_name(zone, key_of(one)): None for one in deleted}
    name = f"{zone.name}/changes/{len(call.plane.list(CHANGES, f'{zone.name}/changes/'))}"
    shown = printed(added[0]) if added else {}
    accepted = call.plane.submit(
        call.operation(
            CHANGES,
            name,
            changes=tuple(ResourceChange(RECORDS, one, body) for one, body in {**old, **new}.items()),
            facts={SHOWN: shown},
        )
    )
    _note(call.plane, zone, added, deleted, accepted.id)
    return accepted


def _note(
    plane: ControlPlane, zone: Record, additions: Sequence[Json], deletions: Sequence[Json], operation: str
) -> None:
    number = len(plane.list(CHANGES, f"{zone.name}/changes/"))
    body: Json = {
        "id": str(number),
        **({"additions": list(additions)} if additions else {}),
        **({"deletions": list(deletions)} if deletions else {}),
    }
    plane.keep(Record(CHANGES, f"{zone.name}/changes/{number}", body, facts={CARRIED_OUT: operation}))


def _name(zone: Record, key: Key) -> str:
    return "{}/rrsets/{}/{}".format(zone.name, *key)


def printed(record: Json) -> Json:
    """A record set as the API prints it."""
    return {**record, "kind": "dns#resourceRecordSet"}


def view(plane: ControlPlane, record: Record) -> Json:
    """A change as the API prints it: it is done when it is served."""
    body, done = record.body, carried_out(plane, record)
    lists: Json = {key: list(map(printed, body[key])) for key in ("additions", "deletions") if key in body}
    return {
        "kind": "dns#change",
        "id": body["id"],
        "startTime": moment(record.created),
        "status": "done" if done else "pending",
        "isServing": done,
        **lists,
    }


@serves(API, "changes.create")
def create(call: Call) -> Answer:
    """Delete and add record sets."""
    additions, deletions = call.body.get("additions", []), call.body.get("deletions", [])
    if not additions and not deletions:
        raise faults.required("entity.change")
    return apply(call, zone_of(call), additions, deletions, "entity.change")


@serves(API, "changes.get")
def get(call: Call) -> Json:
    """One change."""
    if record := call.plane.find(CHANGES, f"{zone_of(call).name}/changes/{call.text('changeId')}"):
        return view(call.plane, record)
    raise faults.missing("changeId", call.text("changeId"))


@serves(API, "changes.list")
def list_(call: Call) -> Json:
    """All changes of a zone, the oldest first."""
    zone = zone_of(call)
    made = [view(call.plane, record) for record in call.plane.list(CHANGES, f"{zone.name}/changes/")]
    order = "id desc" if call.text("sortOrder").startswith("desc") else "id"
    found = page(call, made, "changes", key=lambda one: f"{int(one['id']):020}", order_by=order)
    return {"kind": "dns#changesListResponse", **found}


@serves(API, "resourceRecordSets.list")
def records(call: Call) -> Json:
    """The record sets of a zone, or those of a name, or the one of a name and type."""
    zone, name, kind = zone_of(call), call.text("name"), call.text("type")
    if kind and not name:
        raise faults.required("parameters.name")
    made = [
        printed(one)
        for (known, its), one in found(call.plane, zone).items()
        if name in {"", known} and kind in {"", its}
    ]
    selected: Json = {"predicate": filters.aip160(call.text("filter"))}
    shown = page(call, made, "rrsets", key=title, **selected)
    return {"kind": "dns#resourceRecordSetsListResponse", **shown}


@serves(API, "resourceRecordSets.get")
def record(call: Call) -> Json:
    """One record set."""
    return printed(_named(call, zone_of(call)))


@serves(API, "resourceRecordSets.create")
def add(call: Call) -> Answer:
    """Add one record set."""
    return apply(call, zone_of(call), [call.body], [], "entity.change")


@serves(API, "resourceRecordSets.patch")
def replace(call: Call) -> Answer:
    """Change one record set: time to live or data."""
    zone = zone_of(call)
    known = _named(call, zone)
    body = masks.merge(known, call.body)
    for one, other in (("rrdatas", "routingPolicy"), ("routingPolicy", "rrdatas")):
        if one in call.body and other not in call.body:
            body.pop(other, None)
    return apply(call, zone, [body], [known], "entity.change")


@serves(API, "resourceRecordSets.delete")
def remove(call: Call) -> Answer:
    """Delete one record set."""
    zone = zone_of(call)
    return apply(call, zone, [], [_named(call, zone)], "entity.change")


def _named(call: Call, zone: Record) -> Json:
    if known := found(call.plane, zone).get((call.text("name"), call.text("type"))):
        return known
    raise faults.missing("name", f"{call.text('name')} ({call.text('type')})")
