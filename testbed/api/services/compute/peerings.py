"""VPC Network Peering: both sides, each of them a part of its network (behaviour 4.5)."""

from __future__ import annotations

from testbed.api.clock import compute_timestamp
from testbed.api.discovery import Json
from testbed.api.services.compute.names import url
from testbed.control.plane import ControlPlane
from testbed.control.resources import Record

KIND = "compute.networks"
DEFAULTS: Json = {
    "autoCreateRoutes": True, "exchangeSubnetRoutes": True, "exportCustomRoutes": False, "importCustomRoutes": False,
    "exportSubnetRoutesWithPublicIp": True, "importSubnetRoutesWithPublicIp": False, "stackType": "IPV4_ONLY",
    "updateStrategy": "INDEPENDENT",
}  # fmt: skip
"""What Google fills in (behaviour 4.5.2)."""


def view(plane: ControlPlane, record: Record) -> list[Json]:
    """The peerings of a network with their states, which depend on the other side (behaviour 4.5.1)."""
    return [_with_state(plane, record, peering) for peering in record.body["peerings"]]


def _with_state(plane: ControlPlane, record: Record, peering: Json) -> Json:
    other = plane.find(KIND, peering["network"])
    theirs = other.body.get("peerings", ()) if other else ()
    active = any(one["network"] == record.name for one in theirs)
    details = "Connected." if active else "Waiting for peer network to connect."  # recalled
    result = {
        **peering, "network": url(peering["network"]), "state": "ACTIVE" if active else "INACTIVE",
        "stateDetails": f"[{compute_timestamp(record.updated)}]: {details}",
    }  # fmt: skip
    if other is not None and active:
        result["peerMtu"] = other.body.get("mtu", 1460)
    return result
