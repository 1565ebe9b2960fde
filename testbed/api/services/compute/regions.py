"""Regions and zones.  Quotas are numbers to look at: the testbed does not enforce them."""

from __future__ import annotations

from testbed.api.calls.call import Call, serves
from testbed.api.calls.clock import compute_timestamp
from testbed.api.contract import filters, listing
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.names import numeric_id, url
from testbed.control.accept.plane import ControlPlane
from testbed.errors import GoogleText, NotFound
from testbed.json_object import Json
from testbed.model.core.places import REGIONS, ZONES, zones
from testbed.model.core.resource import region_of

LIMITS = {"CPUS": 72, "DISKS_TOTAL_GB": 40960, "STATIC_ADDRESSES": 8, "IN_USE_ADDRESSES": 8, "INSTANCES": 6000}
"""Google's usual limits (recalled)."""


@serves(API, "regions.get")
def get_region(call: Call) -> Json:
    """One region.

    Raises:
        NotFound: Google has none of that name.
    """
    name = call.text("region")
    if name not in REGIONS:
        raise _no(call, f"regions/{name}")
    return _region(call, name)


@serves(API, "regions.list")
def list_regions(call: Call) -> Json:
    """All regions."""
    return _listed(call, [_region(call, name) for name in REGIONS], "region")


@serves(API, "zones.get")
def get_zone(call: Call) -> Json:
    """One zone.

    Raises:
        NotFound: Google has none of that name.
    """
    name = call.text("zone")
    if name not in ZONES:
        raise _no(call, f"zones/{name}")
    return _zone(call, name)


@serves(API, "zones.list")
def list_zones(call: Call) -> Json:
    """All zones."""
    return _listed(call, [_zone(call, name) for name in ZONES], "zone")


def _no(call: Call, place: str) -> NotFound:
    return NotFound(
        GoogleText(f"The resource 'projects/{call.text('project')}/{place}' was not found"), reason="notFound"
    )


def _place(call: Call, kind: str, name: str) -> Json:
    full = f"projects/{call.text('project')}/{kind}s/{name}"
    return {
        "kind": f"compute#{kind}",
        "id": numeric_id(f"{kind}s/{name}"),
        "name": name,
        "description": name,
        "status": "UP",
        "creationTimestamp": compute_timestamp(0.0),
        "selfLink": url(full),
        "supportsPzs": False,
    }


def _region(call: Call, name: str) -> Json:
    project = call.text("project")
    links = [url(f"projects/{project}/zones/{zone}") for zone in zones(name)]
    usage = _usage(call.plane, project, name)
    quotas = [
        {"metric": metric, "limit": float(limit), "usage": float(usage.get(metric, 0))}
        for metric, limit in LIMITS.items()
    ]
    return {**_place(call, "region", name), "zones": links, "quotas": quotas}


def _usage(plane: ControlPlane, project: str, region: str) -> dict[str, int]:
    found = plane.list("compute.instances", f"projects/{project}/zones/{region}-")
    external = [nic for r in found for nic in r.body.get("networkInterfaces", ()) if nic.get("accessConfigs")]
    reserved = len(plane.list("compute.addresses", f"projects/{project}/regions/{region}/"))
    return {"INSTANCES": len(found), "IN_USE_ADDRESSES": len(external), "STATIC_ADDRESSES": reserved}


def _zone(call: Call, name: str) -> Json:
    region = url(f"projects/{call.text('project')}/regions/{region_of(name)}")
    return {**_place(call, "zone", name), "region": region, "availableCpuPlatforms": []}


def _listed(call: Call, items: list[Json], kind: str) -> Json:
    parent = f"projects/{call.text('project')}/{kind}s"
    page = listing.page(
        items,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.compute(call.text("filter")),
        collection=parent,
        rules=listing.COMPUTE,
    )
    answer: Json = {"kind": f"compute#{kind}List", "id": parent, "selfLink": url(parent)}
    return {**answer, **page.answer("items")}
