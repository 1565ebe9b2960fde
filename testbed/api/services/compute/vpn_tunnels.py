"""VPN tunnels.  Those of classic gateways are real; those of HA gateways are records that carry no packets yet."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from testbed.api.call import Call
from testbed.api.discovery import Json
from testbed.api.services.compute.collection import Collection
from testbed.control.plane import ControlPlane, InvalidResource
from testbed.control.resources import Record
from testbed.model.base import Defaults
from testbed.model.vpn import ForwardingRule, external_address

_EVERYTHING = ["0.0.0.0/0"]
_TEXTS = {
    "ESTABLISHED": "Tunnel is up and running.",
    "WAITING_FOR_FULL_CONFIG": "The gateway has no forwarding rules for ESP, UDP 500 and UDP 4500 yet.",
    "FIRST_HANDSHAKE": "Handshake with peer has not been completed.",
    "NO_INCOMING_PACKETS": "Tunnels of HA VPN gateways carry no packets in the testbed yet.",
    "PROVISIONING": "Resources are being allocated for the VPN tunnel.",
    "DEPROVISIONING": "Resources are being deallocated for the VPN tunnel.",
}


def complete(body: Json, _: Call) -> Json:
    """A tunnel with the defaults that Google fills in.

    Raises:
        InvalidResource: what HA tunnels need is not there.
    """
    result = {"ikeVersion": 2, **body}
    if body.get("vpnGateway"):
        if not (body.get("peerExternalGateway") or body.get("peerGcpGateway") or body.get("peerIp")):
            raise InvalidResource(("peerExternalGateway",), "", "A peer must be specified.")
        if body.get("localTrafficSelector") or body.get("remoteTrafficSelector"):  # behaviour 4.10.4
            raise InvalidResource(("localTrafficSelector",), "", "Traffic selectors are for classic VPN tunnels only.")
        return result
    return {**result, **{key: body.get(key) or _EVERYTHING for key in ("localTrafficSelector",
                                                                       "remoteTrafficSelector")}}  # fmt: skip


def status(plane: ControlPlane, record: Record) -> str:
    """The status of a tunnel (behaviour 4.10.3): what IKE says, as soon as there is a gateway that speaks it."""
    if record.deleting:
        return "DEPROVISIONING"
    if record.effective is None:
        return "PROVISIONING"
    gateway = record.body.get("targetVpnGateway")
    if gateway is None:
        return "NO_INCOMING_PACKETS"
    known = Defaults(gateway.split("/")[1], lenient=True)
    rules = [
        ForwardingRule.model_validate(rule.effective, context=known)
        for rule in plane.list("compute.forwardingRules")
        if rule.effective
    ]
    if external_address(gateway, rules) is None:
        return "WAITING_FOR_FULL_CONFIG"
    nodes = plane.running.nodes(gateway)
    established = any(record.id in (plane.nodes.established(node) or ()) for node in nodes)
    return "ESTABLISHED" if established else "FIRST_HANDSHAKE"


def view(plane: ControlPlane, record: Record) -> Json:
    """The status, and of the secret a digest only."""
    now = status(plane, record)
    digest = hashlib.sha256(f"{record.name}\n{record.body['sharedSecret']}".encode()).digest()[:20]
    return {
        "status": now, "detailedStatus": _TEXTS[now], "sharedSecret": "*************",
        "sharedSecretHash": b64encode(digest).decode().rstrip("="),
    }  # fmt: skip


TUNNELS = Collection(
    name="vpnTunnels", singular="vpnTunnel", scope="regions", complete=complete, view=view, labelled=True,
    references={
        "vpnGateway": "regions/-/vpnGateways", "peerGcpGateway": "regions/-/vpnGateways",
        "peerExternalGateway": "global/externalVpnGateways", "router": "regions/-/routers",
    },
).register()  # fmt: skip
