"""What the APIs of `projects/P/locations/L/...` have in common: their regions, their lists, their errors."""

from __future__ import annotations

from collections.abc import Callable

from testbed.api.calls.call import Call
from testbed.api.contract import filters, listing
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.places import REGIONS
from testbed.model.core.resource import segment


def region_of(name: str) -> str:
    """The region of a name.

    Raises:
        InvalidArgument: Google has no such region.
    """
    region = segment(name, "locations")
    if region not in REGIONS:
        raise InvalidArgument(GoogleText(f"Location {region} is not found or access is unauthorized."))
    return region


def location(project: str, region: str) -> Json:
    """A region as an API prints it; `project` is `projects/P`."""
    return {
        "name": f"{project}/locations/{region}",
        "locationId": region,
        "displayName": region,
        "labels": {"cloud.googleapis.com/region": region},
    }


def found(call: Call, kind: str) -> Record:
    """The resource that a call names.

    Raises:
        NotFound: there is none (behaviour 1.1.4).
    """
    return named(call, kind, call.text("name"))


def named(call: Call, kind: str, name: str) -> Record:
    """A resource by its full name.

    Raises:
        NotFound: there is none.
    """
    if record := call.plane.find(kind, name):
        return record
    raise NotFound(GoogleText(f"Resource '{name}' was not found"), reason="notFound")


def unused(call: Call, kind: str, name: str) -> str:
    """A name that no resource has.

    Raises:
        AlreadyExists: one has it (behaviour 1.5.5).
    """
    if call.plane.find(kind, name):
        raise AlreadyExists(GoogleText(f"Resource '{name}' already exists"), reason="alreadyExists")
    return name


def listed(call: Call, kind: str, field: str, view: Callable[[Record], Json]) -> Json:
    """A page of the resources of one location, or (`-`) of all: `{field: [...], "nextPageToken": ...}`."""
    parent = call.text("parent")
    prefix = parent.removesuffix("-") if parent.endswith("/locations/-") else f"{parent}/"
    page = listing.page(
        [view(record) for record in call.plane.list(kind, prefix)],
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.aip160(call.text("filter")),
        collection=parent,
    )
    return page.answer(field)
