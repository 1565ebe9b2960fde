"""BGP, as Cloud Routers are configured for it: their sessions, and what these advertise (behaviour 4.11).

A Cloud Router passes on to a peer nothing that it has learned from another.  So its sessions need to know nothing of
each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from testbed.model.compute.router import BgpPeer, Router
from testbed.model.core.ranges import inside
from testbed.model.topology import Topology

REGION_COST = 201
"""What is added to the priority of a route for another region than its router's (Google: 201 to 9999, recalled)."""


@dataclass(frozen=True, slots=True)
class Advertised:
    """A range that is advertised, and its MED."""

    range: str
    priority: int


@dataclass(frozen=True, slots=True)
class BgpSession:
    """One end of a BGP session."""

    address: str
    """Its own, with the length of the range: `169.254.0.1/30`."""
    asn: int
    peer_address: str
    peer_asn: int
    keepalive: int
    """Seconds."""
    advertised: tuple[Advertised, ...]
    router: str = ""
    """The full name of the Cloud Router; empty for a site's end."""
    peer: str = ""
    """The router's name for its peer."""
    inside: tuple[str, ...] = ()
    """The ranges on its own side: a route into one of them would send back what arrives for it."""

    def believes(self, destination: str) -> bool:
        """Whether it takes a route that its peer advertises; to BIRD, a range that it advertises itself is its own."""
        own = any(destination == one.range for one in self.advertised)
        return not own and not inside(destination, map(IPv4Network, self.inside))


def sessions(topology: Topology) -> dict[str, BgpSession]:
    """The sessions of all Cloud Routers by the full names of their tunnels and VLAN attachments, if they are whole."""
    found = {}
    for router in topology.compute.routers:
        interfaces = {one.name: one for one in router.interfaces}
        for peer in router.bgp_peers:
            interface = interfaces.get(peer.interface_name or "")
            if interface is None or not (interface.link and interface.ip_range):
                continue
            if peer.enable == "TRUE" and peer.peer_ip_address and router.bgp and router.bgp.asn:
                found[interface.link] = BgpSession(
                    interface.ip_range,
                    router.bgp.asn,
                    peer.peer_ip_address,
                    peer.peer_asn,
                    router.bgp.keepalive_interval,
                    tuple(advertised(topology, router, peer)),
                    router.full_name,
                    peer.name,
                )
    return found


def advertised(topology: Topology, router: Router, peer: BgpPeer) -> Iterator[Advertised]:
    """What a router advertises to a peer: the peer's own custom mode counts, else the router's (behaviour 4.11.1).

    A connector's hidden range is no subnet's: it is advertised only if somebody adds it (behaviour 4.11.2).
    """
    mode = peer if peer.advertise_mode == "CUSTOM" else router.bgp
    custom = mode is not None and mode.advertise_mode == "CUSTOM"
    found: dict[str, int] = {}
    if not custom or (mode and mode.advertised_groups):
        network = next(n for n in topology.compute.networks if n.full_name == router.network)
        for subnet in topology.compute.subnetworks:
            mine = subnet.region == router.region
            if subnet.network == router.network and (mine or network.routing_config.routing_mode == "GLOBAL"):
                for cidr in (subnet.ip_cidr_range, *(second.ip_cidr_range for second in subnet.secondary_ip_ranges)):
                    found[cidr] = peer.advertised_route_priority + (0 if mine else REGION_COST)
    if custom and mode:
        found |= {one.range: peer.advertised_route_priority for one in mode.advertised_ip_ranges}
    return (Advertised(cidr, priority) for cidr, priority in found.items())
