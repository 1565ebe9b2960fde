"""What a Cloud Router says of its BGP sessions: what the speakers beside its tunnels see."""

from __future__ import annotations

from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.control.watch.observation import BgpState
from testbed.fabric.allocation.running import LearnedRoute
from testbed.json_object import Json
from testbed.model.bgp import BgpSession, sessions
from testbed.model.topology import Topology

_DOWN = BgpState("Idle", "")


def bgp_status(plane: ControlPlane, topology: Topology, body: Json, router: str) -> Json:
    """The fields of a router's status that are about BGP; of a session that is not whole yet, that it is down."""
    known = {
        session.peer: (tunnel, session) for tunnel, session in sessions(topology).items() if session.router == router
    }
    running = plane.running
    learned = {
        tunnel: [route for route in running.learned if route.node in running.allocations.nodes(tunnel)]
        for tunnel, _ in known.values()
    }
    result: Json = {
        "bgpPeerStatus": [
            _peer_status(plane, peer, known.get(peer["name"], ("", None)), learned) for peer in body["bgpPeers"]
        ]
    }
    best = [_route(route, session, body["network"]) for tunnel, session in known.values() for route in learned[tunnel]]
    if best:
        result |= {"bestRoutes": best, "bestRoutesForRouter": best}
    return result


def _peer_status(
    plane: ControlPlane, peer: Json, found: tuple[str, BgpSession | None], learned: dict[str, list[LearnedRoute]]
) -> Json:
    tunnel, session = found
    seen = next(filter(None, map(plane.nodes.bgp, plane.running.allocations.nodes(tunnel))), None) if tunnel else None
    state = seen or _DOWN
    shown: Json = {
        "name": peer["name"],
        "status": "UP" if state.up else "DOWN",
        "state": state.state,
        "numLearnedRoutes": len(learned.get(tunnel, ())),
        **{key: peer[key] for key in ("ipAddress", "peerIpAddress") if key in peer},
    }
    if "/vpnTunnels/" in tunnel:
        shown["linkedVpnTunnel"] = url(tunnel)
    if session is not None and state.up:
        shown["advertisedRoutes"] = [
            {"destRange": one.range, "priority": one.priority, "nextHopIp": peer.get("ipAddress", "")}
            for one in session.advertised
        ]
    return shown


def _route(route: LearnedRoute, session: BgpSession, network: str) -> Json:
    return {
        "kind": "compute#route",
        "destRange": route.destination,
        "network": url(network),
        "priority": route.priority,
        "nextHopIp": session.peer_address,
        "routeType": "BGP",
        "asPaths": [{"pathSegmentType": "AS_SEQUENCE", "asLists": [session.peer_asn]}],
    }
