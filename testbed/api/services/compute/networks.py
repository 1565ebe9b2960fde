"""VPC networks."""

from __future__ import annotations

from testbed.api.call import Call
from testbed.api.discovery import Json
from testbed.api.services.compute.collection import Collection
from testbed.api.services.compute.names import url
from testbed.control.plane import ControlPlane
from testbed.control.resources import Record


def complete(body: Json, _: Call) -> Json:
    """A network with the defaults that Google fills in."""
    routing = {"routingMode": "REGIONAL", **body.get("routingConfig", {})}
    return {
        "mtu": 1460, "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL", **body,
        "routingConfig": routing,
    }  # fmt: skip


def view(plane: ControlPlane, record: Record) -> Json:
    """Its subnets."""
    subnets = [r for r in plane.list("compute.subnetworks") if r.body.get("network") == record.name]
    return {"subnetworks": [url(r.name) for r in subnets]} if subnets else {}


NETWORKS = Collection(
    name="networks", singular="network", scope="global", complete=complete, view=view,
    immutable=frozenset({"name", "IPv4Range"}),
).register()  # fmt: skip
