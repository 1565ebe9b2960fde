"""Managed zones, and the operations that change them."""

from __future__ import annotations

import copy
import secrets
from dataclasses import replace

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import masks
from testbed.api.services.compute.names import url
from testbed.api.services.dns import changes, faults
from testbed.api.services.dns.base import (
    API,
    CARRIED_OUT,
    CHANGES,
    OPERATIONS,
    RECORDS,
    ZONES,
    carried_out,
    moment,
    network,
    number_of,
    page,
    visibility,
    zone_of,
)
from testbed.api.services.dns.records import APEX, NAME_SERVERS
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition
from testbed.json_object import Json
from testbed.model.core.names import COMPUTE_NAME
from testbed.model.core.resource import relative
from testbed.model.managed.dns_records import DNS_NAME
from testbed.model.rules.dns import bound_twice

_OUTPUT = ("kind", "id", "creationTime", "nameServers")
_PRIVATE = (
    "privateVisibilityConfig",
    "forwardingConfig",
    "peeringConfig",
    "reverseLookupConfig",
    "serviceDirectoryConfig",
)
_ENTITY = "entity.managedZone"
_LINK = "selfLink"
"""Where the model has the full name; Cloud DNS shows none."""


@serves(API, "managedZones.create")
def create(call: Call) -> Answer:
    """Make a zone, with its SOA and NS."""
    body = _checked(call, call.body)
    name = f"projects/{call.text('project')}/managedZones/{body['name']}"
    if call.plane.find(ZONES, name):
        raise faults.taken(_ENTITY, body["name"])
    _unbound(call, body, name)
    accepted = call.plane.submit(
        call.operation(ZONES, name, changes=(ResourceChange(ZONES, name, {**body, _LINK: name}),))
    )
    changes.begin(call, call.plane.get(ZONES, name), accepted.id)
    return accepted


@serves(API, "managedZones.get")
def get(call: Call) -> Json:
    """One zone."""
    return view(zone_of(call))


@serves(API, "managedZones.list")
def list_(call: Call) -> Json:
    """The zones of a project, or those of a DNS name."""
    wanted = call.text("dnsName")
    found = call.plane.list(ZONES, f"projects/{call.text('project')}/managedZones/")
    made = [view(record) for record in found if wanted in {"", record.body["dnsName"]} and not record.deleting]
    return {"kind": "dns#managedZonesListResponse", **page(call, made, "managedZones")}


@serves(API, "managedZones.patch")
def patch(call: Call) -> Answer:
    """Merge a body into a zone."""
    record = zone_of(call)
    return _update(call, record, masks.merge(record.body, call.body))


@serves(API, "managedZones.update")
def update(call: Call) -> Answer:
    """Put a body in the place of a zone's."""
    return _update(call, zone_of(call), call.body)


@serves(API, "managedZones.delete")
def delete(call: Call) -> Answer:
    """Delete a zone of which only SOA and NS are left."""
    record = zone_of(call)
    dns_name = record.body["dnsName"]
    if any(name != dns_name or kind not in APEX for name, kind in changes.found(call.plane, record)):
        raise faults.not_empty(record.id)
    for kind in (CHANGES, OPERATIONS):
        for one in call.plane.list(kind, f"{record.name}/"):
            call.plane.drop(kind, one.name)
    records = (ResourceChange(RECORDS, one.name, None) for one in call.plane.list(RECORDS, f"{record.name}/"))
    return call.plane.submit(
        call.operation(ZONES, record.name, changes=(*records, ResourceChange(ZONES, record.name, None)))
    )


@serves(API, "managedZoneOperations.get")
def operation(call: Call) -> Json:
    """One operation of a zone."""
    zone, given = zone_of(call), call.text("operation")
    if record := call.plane.find(OPERATIONS, f"{zone.name}/operations/{given}"):
        return shown(call.plane, record)
    raise faults.missing("operation", given)


@serves(API, "managedZoneOperations.list")
def operations(call: Call) -> Json:
    """The operations of a zone, the newest first."""
    made = [shown(call.plane, record) for record in call.plane.list(OPERATIONS, f"{zone_of(call).name}/operations/")]
    found = page(call, made, "operations", key=lambda one: str(one["id"]), order_by="startTime desc")
    return {"kind": "dns#managedZoneOperationsListResponse", **found}


def view(record: Record) -> Json:
    """A zone as the API prints it; a file may have left out what the API always says, and has networks by name."""
    body: Json = {"description": "", **copy.deepcopy(record.body)}
    body.pop(_LINK, None)
    body["visibility"] = visibility(body)
    for config in (body.get("privateVisibilityConfig", {}), body.get("peeringConfig", {})):
        for one in (*config.get("networks", []), config.get("targetNetwork", {})):
            if "networkUrl" in one:
                one["networkUrl"] = url(relative(one["networkUrl"]))
    body["cloudLoggingConfig"] = {"kind": "dns#managedZoneCloudLoggingConfig", **body.get("cloudLoggingConfig", {})}
    return {
        "kind": "dns#managedZone",
        **body,
        "id": number_of(record),
        "creationTime": moment(record.created),
        "nameServers": list(NAME_SERVERS[body["visibility"]]),
    }


def _update(call: Call, record: Record, given: Json) -> Operation:
    body = _checked(call, {"name": record.id, **{key: value for key, value in given.items() if key != _LINK}})
    before = view(record)
    for field in ("name", "dnsName", "visibility"):
        if body[field] != before[field]:
            raise faults.invalid(f"{_ENTITY}.{field}", body[field])
    _unbound(call, body, record.name)
    made: Json = {
        "id": call.text("clientOperationId") or secrets.token_hex(16),
        "user": call.principal,
        "type": "update",
        "zoneContext": {"oldValue": before, "newValue": view(replace(record, body=body))},
    }
    name = f"{record.name}/operations/{made['id']}"
    change = ResourceChange(ZONES, record.name, {**body, _LINK: record.name})
    accepted = call.plane.submit(call.operation(OPERATIONS, name, changes=(change,)))
    call.plane.keep(Record(OPERATIONS, name, made, facts={CARRIED_OUT: accepted.id}))
    return accepted


def shown(plane: ControlPlane, record: Record) -> Json:
    """An operation of a zone as the API prints it."""
    status = "done" if carried_out(plane, record) else "pending"
    return {**record.body, "kind": "dns#operation", "startTime": moment(record.created), "status": status}


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
        body = {key: value for key, value in body.items() if key not in _PRIVATE or not _is_empty(value)}
        for field in (field for field in _PRIVATE if field in body):
            raise faults.invalid(f"{_ENTITY}.{field}", body[field])
    if body.get("forwardingConfig") and body.get("peeringConfig"):
        raise faults.invalid(f"{_ENTITY}.peeringConfig", body["peeringConfig"])
    made = _linked(call, body)
    try:
        call.plane.resolve(
            ZONES,
            {**made, _LINK: f"projects/{call.text('project')}/managedZones/{body['name']}"},
            call.scope(call.text("project")),
        )
    except InvalidResource as error:
        place = ".".join([_ENTITY, *(str(part) for part in error.path)])
        raise faults.invalid(place, error.value if error.path else str(error)) from None
    return made


def _is_empty(config: Json) -> bool:
    """Whether a config says nothing: Terraform sends such ones."""
    return not any(value for key, value in config.items() if key != "kind")


def _linked(call: Call, body: Json) -> Json:
    """The body with its networks as URLs; those that see it are there, the one that it is peered with may not be."""
    if config := body.get("privateVisibilityConfig"):
        place = f"{_ENTITY}.privateVisibilityConfig.networks"
        networks = [
            {
                "kind": "dns#managedZonePrivateVisibilityConfigNetwork",
                "networkUrl": network(call, one.get("networkUrl", ""), f"{place}[{index}].networkUrl"),
            }
            for index, one in enumerate(config.get("networks", []))
        ]
        config = {**config, "networks": networks, "kind": "dns#managedZonePrivateVisibilityConfig"}
        return {**body, "privateVisibilityConfig": config}
    return body


def _networks(body: Json) -> set[str]:
    return {relative(one["networkUrl"]) for one in body.get("privateVisibilityConfig", {}).get("networks", [])}


def _unbound(call: Call, body: Json, name: str) -> None:
    """Refuse a second zone of the same DNS name in a network.

    Raises:
        FailedPrecondition: there is one (the text is ours).
    """
    for record in call.plane.list(ZONES):
        both = _networks(body) & _networks(record.body)
        if record.name != name and record.body["dnsName"] == body["dnsName"] and both:
            raise FailedPrecondition(
                bound_twice(url(min(both)), record.id, body["dnsName"]), reason="failedPrecondition"
            )
