"""What the testbed has no packets for: VLAN attachments are records."""

from __future__ import annotations

from testbed.api.call import Call
from testbed.api.discovery import Json
from testbed.api.services.compute.collection import Collection
from testbed.control.plane import ControlPlane, InvalidResource
from testbed.control.resources import Record

MTUS = (1440, 1460, 1500, 8896)
"""Behaviour 4.7.4."""


def defaults(body: Json) -> Json:
    """An attachment with what Google fills in."""
    return {
        "type": "DEDICATED",
        "adminEnabled": True,
        "mtu": 1440,
        "encryption": "NONE",
        "stackType": "IPV4_ONLY",
        **body,
    }


def complete(body: Json, _: Call) -> Json:
    """An attachment of a router.

    Raises:
        InvalidResource: it has none, or an MTU or a VLAN that there is not.
    """
    if not body.get("router"):
        raise InvalidResource(("router",), "", "A value must be given.")
    if body["mtu"] not in MTUS:
        raise InvalidResource(("mtu",), body["mtu"], f"Must be one of {', '.join(map(str, MTUS))}.")
    if not 2 <= body.get("vlanTag8021q", 2) <= 4093:
        raise InvalidResource(("vlanTag8021q",), body["vlanTag8021q"], "Must be between 2 and 4093.")
    return body


def view(_: ControlPlane, record: Record) -> Json:
    """It is never provisioned: there is no interconnect behind it (behaviour 4.12.2)."""
    partner = record.body.get("type") == "PARTNER"
    return {"state": "PENDING_PARTNER" if partner else "UNPROVISIONED", "operationalStatus": "OS_UNPROVISIONED"}


ATTACHMENTS = Collection(
    name="interconnectAttachments", singular="interconnectAttachment", scope="regions", defaults=defaults,
    complete=complete, view=view, labelled=True, references={"router": "regions/-/routers"},
    immutable=frozenset({"name", "router", "type", "interconnect"}),
).register()  # fmt: skip
