"""VPN tunnels: what they are, and how they are, which is what IKE says (behaviour 4.10.3)."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable

from testbed.api.calls.call import Call
from testbed.api.services.compute.collection import Collection
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.control.watch.observation import handshake
from testbed.fabric.hybrid.vpn import peer_address
from testbed.fabric.node_specs import TUNNEL
from testbed.json_object import Json
from testbed.model.core.resource import Defaults
from testbed.model.hybrid.vpn import ForwardingRule, external_address

_EVERYTHING = ["0.0.0.0/0"]
_TEXTS = {
    "ESTABLISHED": "Tunnel is up and running.",
    "WAITING_FOR_FULL_CONFIG": "The gateway has no forwarding rules for ESP, UDP 500 and UDP 4500 yet.",
    "FIRST_HANDSHAKE": "Handshake with peer has not been completed.",
    "NO_INCOMING_PACKETS": "No incoming packets from peer.",
    "AUTHORIZATION_ERROR": "Authentication with peer failed: the shared secret does not match.",
    "NEGOTIATION_FAILURE": "Handshake with peer failed: no proposal or traffic selector was acceptable.",
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
            raise InvalidResource(("peerExternalGateway",), "", "a peer must be given")
        if body.get("localTrafficSelector") or body.get("remoteTrafficSelector"):  # behaviour 4.10.4
            raise InvalidResource(("localTrafficSelector",), "", "traffic selectors are for classic VPN tunnels only")
        return result
    return {
        **result,
        **{key: body.get(key) or _EVERYTHING for key in ("localTrafficSelector", "remoteTrafficSelector")},
    }


def status(plane: ControlPlane, record: Record) -> str:
    """The status of a tunnel (behaviour 4.10.3): what IKE says, as soon as there is a gateway that speaks it."""
    if record.deleting:
        return "DEPROVISIONING"
    if record.effective is None:
        return "PROVISIONING"
    gateway = record.body.get("targetVpnGateway")
    if gateway is None:
        return _seen(plane, plane.running.allocations.nodes(record.name), TUNNEL, record)
    known = Defaults(gateway.split("/")[1], lenient=True)
    rules = [
        ForwardingRule.model_validate(rule.effective, context=known)
        for rule in plane.list("compute.forwardingRules")
        if rule.effective
    ]
    if external_address(gateway, rules) is None:
        return "WAITING_FOR_FULL_CONFIG"
    return _seen(plane, plane.running.allocations.nodes(gateway), record.id, record)


def _seen(plane: ControlPlane, nodes: Iterable[str], name: str, record: Record) -> str:
    """What the gateway's daemon says of a tunnel."""
    for node in nodes:
        if name in (plane.nodes.established(node) or ()):
            return "ESTABLISHED"
        if failure := handshake(plane.nodes.log(node) or "", _peer(plane, record)):
            return failure
    return "FIRST_HANDSHAKE"


def _peer(plane: ControlPlane, record: Record) -> str:
    """The address of a tunnel's peer."""
    topology = plane.topology()
    found = (one for one in topology.compute.vpn_tunnels if one.full_name == record.name)
    return next((peer_address(topology, plane.running, one) or "" for one in found), "")


def view(plane: ControlPlane, record: Record) -> Json:
    """The status, and of the secret a digest only."""
    now = status(plane, record)
    digest = hashlib.sha256(f"{record.name}\n{record.body['sharedSecret']}".encode()).digest()[:20]
    more: Json = {}
    if record.body.get("vpnGateway"):  # behaviour 4.10.4
        more = {"localTrafficSelector": _EVERYTHING, "remoteTrafficSelector": _EVERYTHING}
        if peer := _peer(plane, record):
            more["peerIp"] = peer
    return {
        **more,
        "status": now,
        "detailedStatus": _TEXTS[now],
        "sharedSecret": "*************",
        "sharedSecretHash": b64encode(digest).decode().rstrip("="),
    }


TUNNELS = Collection(
    name="vpnTunnels",
    singular="vpnTunnel",
    scope="regions",
    complete=complete,
    view=view,
    labelled=True,
).register()
