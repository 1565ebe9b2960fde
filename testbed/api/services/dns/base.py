"""What Cloud DNS's collections have in common: kinds, zones by name, pages, times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from testbed.api.calls.call import Call
from testbed.api.contract import listing
from testbed.api.services.compute.names import numeric_id, url
from testbed.api.services.dns import faults
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import NotFound, TestbedError
from testbed.json_object import Json
from testbed.model.core.resource import Defaults, qualify

API = "dns.v1 dns.v1beta2"
ZONES = "dns.managedZones"
RECORDS = "dns.resourceRecordSets"
CHANGES = "dns.changes"
OPERATIONS = "dns.operations"
POLICIES = "dns.policies"


CARRIED_OUT = "operation"
"""Of a record that tells of a change: the fact by which operation it takes effect."""


def carried_out(plane: ControlPlane, record: Record) -> bool:
    """Whether what a record tells of has taken effect."""
    try:
        return plane.operation(str(record.facts[CARRIED_OUT])).done
    except NotFound:  # the oldest finished ones are forgotten
        return True


def visibility(zone: Json) -> str:
    """The visibility of a zone as the API spells it, for file or API: `public` or `private`."""
    return str(zone.get("visibility", "public")).lower()


def moment(seconds: float) -> str:
    """A time as Cloud DNS prints it: `2026-11-24T10:42:31.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number_of(record: Record) -> str:
    """The number of a resource."""
    return numeric_id(f"{record.name}#{record.number}")


def named(call: Call, kind: str, collection: str, parameter: str) -> Record:
    """The resource that a path names, by its name or its number.

    Raises:
        NotFound: there is none.
    """
    parent, given = f"projects/{call.text('project')}/{collection}", call.text(parameter)
    if (record := call.plane.find(kind, f"{parent}/{given}")) and not record.deleting:
        return record
    if given.isdigit():
        for record in call.plane.list(kind, f"{parent}/"):
            if number_of(record) == given and not record.deleting:
                return record
    raise faults.missing(parameter, given)


def zone_of(call: Call) -> Record:
    """The zone that a path names."""
    return named(call, ZONES, "managedZones", "managedZone")


def page(
    call: Call, items: Iterable[Json], field: str, *, key: Callable[[Any], str] = listing.by_name, **options: Any
) -> Json:
    """A page of a list: `{field: [...], "nextPageToken": ...}`; the field is there even if it is empty, as Google's."""
    shown = listing.page(
        items,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        key=key,
        collection=f"{call.text('project')}/{call.text('managedZone')}/{field}",
        **options,
    )
    return shown.answer(field, always=True)


def network(call: Call, link: str, entity: str) -> str:
    """The URL of a network that is there.

    Raises:
        InvalidArgument: it is none, or is not there.
    """
    try:
        full = qualify(link, "global/networks", Defaults(call.text("project")))
        call.plane.get("compute.networks", full)
    except (ValueError, TestbedError):
        raise faults.invalid(entity, link) from None
    return url(full)
