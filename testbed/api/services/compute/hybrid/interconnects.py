"""VLAN attachments: records, and nodes that carry packets."""

from __future__ import annotations

from testbed.api.services.compute.collection import Collection
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.json_object import Json
from testbed.model.hybrid.interconnect import LOWEST_TAG


def defaults(body: Json) -> Json:
    """An attachment with what Google fills in."""
    return {
        "type": "DEDICATED",
        "adminEnabled": True,
        "mtu": 1440,
        "encryption": "NONE",
        "stackType": "IPV4_ONLY",
        "vlanTag8021q": LOWEST_TAG,
        **body,
    }


def view(plane: ControlPlane, record: Record) -> Json:
    """Its state: it is there as soon as a site has its other end (behaviour 4.12.2)."""
    sites = plane.topology().on_prem.sites
    ends = {end.attachment for site in sites if site.router for end in site.router.attachments}
    partner, enabled = record.body.get("type") == "PARTNER", record.body.get("adminEnabled", True)
    if record.name not in ends:
        state = "PENDING_PARTNER" if partner else "UNPROVISIONED"
    else:
        state = "PENDING_CUSTOMER" if partner and not enabled else "ACTIVE"
    carries = state == "ACTIVE" and enabled
    return {"state": state, "operationalStatus": "OS_ACTIVE" if carries else "OS_UNPROVISIONED"}


ATTACHMENTS = Collection(
    name="interconnectAttachments",
    singular="interconnectAttachment",
    scope="regions",
    defaults=defaults,
    view=view,
    labelled=True,
    immutable=frozenset({"name", "router", "type", "interconnect"}),
).register()
