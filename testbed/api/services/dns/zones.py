"""Managed zones, and the operations that change them."""

from __future__ import annotations

import secrets
from dataclasses import replace

from testbed.api import masks
from testbed.api.call import Call, serves
from testbed.api.discovery import Json
from testbed.api.services.dns import changes, faults
from testbed.api.services.dns.base import (
    API,
    CHANGES,
    OPERATIONS,
    RECORDS,
    ZONES,
    moment,
    network,
    number_of,
    page,
    zone_of,
)  # fmt: skip
from testbed.api.services.dns.records import APEX, DNS_NAME, NAME_SERVERS
from testbed.control.resources import Record
from testbed.errors import FailedPrecondition
from testbed.model.base import COMPUTE_NAME

_OUTPUT = ("kind", "id", "creationTime", "nameServers")
_PRIVATE = ("privateVisibilityConfig", "forwardingConfig", "peeringConfig", "reverseLookupConfig",
            "serviceDirectoryConfig")  # fmt: skip
_ENTITY = "entity.managedZone"


@serves(API, "managedZones.create")
def create(call: Call) -> Json:
    """Make a zone, with its SOA and NS."""
    body = _checked(call, call.body)
    name = f"projects/{call.text('project')}/managedZones/{body['name']}"
    if call.plane.find(ZONES, name):
        raise faults.taken(_ENTITY, body["name"])
    _unbound(call, body, name)
    record = call.plane.keep(Record(ZONES, name, body))
    changes.begin(call, record)
    return view(record)


@serves(API, "managedZones.get")
def get(call: Call) -> Json:
    """One zone."""
    return view(zone_of(call))


@serves(API, "managedZones.list")
def list_(call: Call) -> Json:
    """The zones of a project, or those of a DNS name."""
    wanted = call.text("dnsName")
    found = call.plane.list(ZONES, f"projects/{call.text('project')}/managedZones/")
    made = [view(record) for record in found if wanted in {"", record.body["dnsName"]}]
    return {"kind": "dns#managedZonesListResponse", **page(call, made, "managedZones")}


@serves(API, "managedZones.patch")
def patch(call: Call) -> Json:
    """Merge a body into a zone."""
    record = zone_of(call)
    return _update(call, record, masks.merge(record.body, call.body))


@serves(API, "managedZones.update")
def update(call: Call) -> Json:
    """Put a body in the place of a zone's."""
    return _update(call, zone_of(call), call.body)


@serves(API, "managedZones.delete")
def delete(call: Call) -> Json:
    """Delete a zone of which only SOA and NS are left."""
    record = zone_of(call)
    dns_name = record.body["dnsName"]
    if any(name != dns_name or kind not in APEX for name, kind in changes.found(call.plane, record)):
        raise faults.not_empty(record.id)
    for kind in (RECORDS, CHANGES, OPERATIONS):
        for one in call.plane.list(kind, f"{record.name}/"):
            call.plane.drop(kind, one.name)
    call.plane.drop(ZONES, record.name)
    return {}


@serves(API, "managedZoneOperations.get")
def operation(call: Call) -> Json:
    """One operation of a zone."""
    zone, given = zone_of(call), call.text("operation")
    if record := call.plane.find(OPERATIONS, f"{zone.name}/operations/{given}"):
        return _operation(record)
    raise faults.missing("operation", given)


@serves(API, "managedZoneOperations.list")
def operations(call: Call) -> Json:
    """The operations of a zone, the newest first."""
    made = [_operation(record) for record in call.plane.list(OPERATIONS, f"{zone_of(call).name}/operations/")]
    found = page(call, made, "operations", key=lambda one: str(one["id"]), order_by="startTime desc")
    return {"kind": "dns#managedZoneOperationsListResponse", **found}


def view(record: Record) -> Json:
    """A zone as the API prints it."""
    return {
        "kind": "dns#managedZone", **record.body, "id": number_of(record), "creationTime": moment(record.created),
        "nameServers": list(NAME_SERVERS[record.body["visibility"]]),
    }  # fmt: skip


def _update(call: Call, record: Record, given: Json) -> Json:
    body = _checked(call, {"name": record.id, **given})
    for field in ("name", "dnsName", "visibility"):
        if body[field] != record.body[field]:
            raise faults.invalid(f"{_ENTITY}.{field}", body[field])
    _unbound(call, body, record.name)
    new = call.plane.keep(replace(record, body=body))
    made: Json = {
        "id": call.text("clientOperationId") or secrets.token_hex(16), "user": call.principal, "type": "update",
        "zoneContext": {"oldValue": view(record), "newValue": view(new)},
    }  # fmt: skip
    name = f"{record.name}/operations/{made['id']}"
    return _operation(call.plane.keep(Record(OPERATIONS, name, made)))


def _operation(record: Record) -> Json:
    return {**record.body, "kind": "dns#operation", "startTime": moment(record.created), "status": "done"}


def _checked(call: Call, given: Json) -> Json:
    """A body as it is kept.

    Raises:
        InvalidArgument: there can be no such zone.
    """
    body = {key: value for key, value in given.items() if key not in _OUTPUT}
    for field in ("name", "dnsName", "description"):
        if field not in body:
            raise faults.required(f"{_ENTITY}.{field}")
    if not COMPUTE_NAME.fullmatch(body["name"]):
        raise faults.invalid(f"{_ENTITY}.name", body["name"])
    if not DNS_NAME.fullmatch(body["dnsName"]):
        raise faults.invalid(f"{_ENTITY}.dnsName", body["dnsName"])
    body.setdefault("visibility", "public")
    if body["visibility"] == "public":
        for field in _PRIVATE:
            if body.get(field):
                raise faults.invalid(f"{_ENTITY}.{field}", body[field])
    if body.get("forwardingConfig") and body.get("peeringConfig"):
        raise faults.invalid(f"{_ENTITY}.peeringConfig", body["peeringConfig"])
    return _linked(call, body)


def _linked(call: Call, body: Json) -> Json:
    """The body with its networks as URLs; those that see it are there, the one that it is peered with may not be."""
    if config := body.get("privateVisibilityConfig"):
        place = f"{_ENTITY}.privateVisibilityConfig.networks"
        networks = [
            {"kind": "dns#managedZonePrivateVisibilityConfigNetwork",
             "networkUrl": network(call, one.get("networkUrl", ""), f"{place}[{index}].networkUrl")}
            for index, one in enumerate(config.get("networks", []))
        ]  # fmt: skip
        config = {**config, "networks": networks, "kind": "dns#managedZonePrivateVisibilityConfig"}
        return {**body, "privateVisibilityConfig": config}
    return body


def _networks(body: Json) -> set[str]:
    return {one["networkUrl"] for one in body.get("privateVisibilityConfig", {}).get("networks", [])}


def _unbound(call: Call, body: Json, name: str) -> None:
    """Refuse a second zone of the same DNS name in a network.

    Raises:
        FailedPrecondition: there is one (the text is ours).
    """
    for record in call.plane.list(ZONES):
        both = _networks(body) & _networks(record.body)
        if record.name != name and record.body["dnsName"] == body["dnsName"] and both:
            raise FailedPrecondition(
                f"The network '{min(both)}' is bound to the zone '{record.id}', which has the same DNS name"
                f" '{body['dnsName']}'.",
                reason="failedPrecondition",
            )
