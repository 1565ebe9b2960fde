"""Changes of record sets: a list of deletions and additions that come true together, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.api import filters
from testbed.api.call import Call, serves
from testbed.api.discovery import Json
from testbed.api.services.dns import faults
from testbed.api.services.dns.base import API, CHANGES, RECORDS, moment, page, zone_of
from testbed.api.services.dns.records import Key, changed, checked, initial, key_of, title
from testbed.control.plane import ControlPlane
from testbed.control.resources import Record


def found(plane: ControlPlane, zone: Record) -> dict[Key, Json]:
    """The record sets of a zone."""
    return {key_of(record.body): record.body for record in plane.list(RECORDS, f"{zone.name}/rrsets/")}


def begin(call: Call, zone: Record) -> None:
    """Give a new zone its SOA and NS, as its change 0."""
    made = initial(zone.body["dnsName"], zone.body["visibility"])
    _write(call, zone, made, [])


def apply(call: Call, zone: Record, additions: Sequence[Json], deletions: Sequence[Json], entity: str) -> Record:
    """Change the record sets of a zone.

    Raises:
        NotFound, FailedPrecondition, AlreadyExists, InvalidArgument: Google would refuse it.
    """
    dns_name = zone.body["dnsName"]
    added = [checked(one, f"{entity}.additions[{i}]", dns_name) for i, one in enumerate(additions)]
    deleted = [checked(one, f"{entity}.deletions[{i}]", dns_name) for i, one in enumerate(deletions)]
    changed(found(call.plane, zone), added, deleted, dns_name, entity)
    return _write(call, zone, added, deleted)


def _write(call: Call, zone: Record, additions: Sequence[Json], deletions: Sequence[Json]) -> Record:
    for one in deletions:
        call.plane.drop(RECORDS, _name(zone, key_of(one)))
    for one in additions:
        name = _name(zone, key_of(one))
        call.plane.keep(Record(RECORDS, name, one))
    number = len(call.plane.list(CHANGES, f"{zone.name}/changes/"))
    body: Json = {"id": str(number), **({"additions": list(additions)} if additions else {}),
                  **({"deletions": list(deletions)} if deletions else {})}  # fmt: skip
    return call.plane.keep(Record(CHANGES, f"{zone.name}/changes/{number}", body))


def _name(zone: Record, key: Key) -> str:
    return "{}/rrsets/{}/{}".format(zone.name, *key)


def printed(record: Json) -> Json:
    """A record set as the API prints it."""
    return {**record, "kind": "dns#resourceRecordSet"}


def view(record: Record) -> Json:
    """A change as the API prints it.  It is done at once; but no server takes it up, so it is not served."""
    body = record.body
    lists: Json = {key: list(map(printed, body[key])) for key in ("additions", "deletions") if key in body}
    return {
        "kind": "dns#change", "id": body["id"], "startTime": moment(record.created), "status": "done",
        "isServing": False, **lists,
    }  # fmt: skip


@serves(API, "changes.create")
def create(call: Call) -> Json:
    """Delete and add record sets."""
    additions, deletions = call.body.get("additions", []), call.body.get("deletions", [])
    if not additions and not deletions:
        raise faults.required("entity.change")
    return view(apply(call, zone_of(call), additions, deletions, "entity.change"))


@serves(API, "changes.get")
def get(call: Call) -> Json:
    """One change."""
    if record := call.plane.find(CHANGES, f"{zone_of(call).name}/changes/{call.text('changeId')}"):
        return view(record)
    raise faults.missing("changeId", call.text("changeId"))


@serves(API, "changes.list")
def list_(call: Call) -> Json:
    """All changes of a zone, the oldest first."""
    zone = zone_of(call)
    made = [view(record) for record in call.plane.list(CHANGES, f"{zone.name}/changes/")]
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
        printed(one) for (known, its), one in found(call.plane, zone).items()
        if name in {"", known} and kind in {"", its}
    ]  # fmt: skip
    selected: dict[str, Any] = {"predicate": filters.aip160(call.text("filter"))}
    shown = page(call, made, "rrsets", key=title, **selected)
    return {"kind": "dns#resourceRecordSetsListResponse", **shown}


@serves(API, "resourceRecordSets.get")
def record(call: Call) -> Json:
    """One record set."""
    return printed(_named(call, zone_of(call)))


@serves(API, "resourceRecordSets.create")
def add(call: Call) -> Json:
    """Add one record set."""
    return printed(apply(call, zone_of(call), [call.body], [], "entity.change").body["additions"][0])


@serves(API, "resourceRecordSets.patch")
def replace(call: Call) -> Json:
    """Change one record set: time to live or data."""
    zone = zone_of(call)
    known = _named(call, zone)
    body = {**known, **call.body}
    for one, other in (("rrdatas", "routingPolicy"), ("routingPolicy", "rrdatas")):
        if one in call.body and other not in call.body:
            body.pop(other, None)
    return printed(apply(call, zone, [body], [known], "entity.change").body["additions"][0])


@serves(API, "resourceRecordSets.delete")
def remove(call: Call) -> Json:
    """Delete one record set."""
    zone = zone_of(call)
    apply(call, zone, [], [_named(call, zone)], "entity.change")
    return {}


def _named(call: Call, zone: Record) -> Json:
    if found := call.plane.find(RECORDS, _name(zone, (call.text("name"), call.text("type")))):
        return found.body
    raise faults.missing("name", f"{call.text('name')} ({call.text('type')})")
