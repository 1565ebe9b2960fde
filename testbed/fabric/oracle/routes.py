"""Routes: where a network sends a packet (behaviour 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Network
from typing import Literal

from testbed.fabric.oracle.cloud import Cloud, within
from testbed.model.network import DEFAULT_ROUTE_PRIORITY, Network, Route
from testbed.model.peering import active, offered

Hop = Literal["NETWORK", "INTERNET_GATEWAY", "INSTANCE", "IP", "VPN_TUNNEL"]


class Origin(IntEnum):
    """Whose a static route is: the network's own come first (behaviour 4.3.5)."""

    LOCAL = 1
    PEERING = 2


@dataclass(frozen=True, slots=True)
class Way:
    """A route, with the network that its next hop is in."""

    range: str
    network: str
    hop: Hop
    target: str = ""
    """The instance, address or tunnel that is the next hop."""
    priority: int = 0
    origin: Origin = Origin.LOCAL

    @property
    def rank(self) -> tuple[int, int, int]:
        """The most specific destination, local before peering, then the lowest priority number (behaviour 4.3.5)."""
        return -IPv4Network(self.range).prefixlen, self.origin, self.priority


def way(cloud: Cloud, network: str, destination: str) -> Way | None:
    """The way that a network has for a destination.  A subnet's cannot be overridden (behaviour 4.3.2, 4.3.5)."""
    subnets = [found for found in _subnets(cloud, network) if within(destination, found.range)]
    others = [found for found in _static(cloud, network) if within(destination, found.range)]
    return min(subnets or others, key=lambda found: found.rank, default=None)


def _subnets(cloud: Cloud, network: str) -> Iterator[Way]:
    """The network's own subnets, and those of its direct peers (behaviour 4.5.2, 4.5.4)."""
    yield from (Way(cidr, network, "NETWORK") for cidr in cloud.topology.ranges_of(network))
    for (mine, theirs), sides in active(cloud.topology.compute.networks).items():
        if mine == network:
            for route in offered(cloud.topology, theirs, sides.theirs, sides.mine):
                if route.type == "SUBNET_PEERING_ROUTE" and route.imported:
                    yield Way(route.range, theirs, "NETWORK")


def _static(cloud: Cloud, network: str) -> Iterator[Way]:
    """The default route, static routes, and those that a peer exports and this network imports (behaviour 4.5.3)."""
    for owner in cloud.topology.compute.networks:
        if owner.full_name == network:
            yield from _default(owner)
    peers = active(cloud.topology.compute.networks)
    for route in cloud.topology.compute.routes:
        if route.network == network:
            yield _of(route, Origin.LOCAL)
        elif (network, route.network) in peers and not route.next_hop_gateway:
            sides = peers[network, route.network]
            if sides.theirs.export_custom_routes and sides.mine.import_custom_routes:
                yield _of(route, Origin.PEERING)


def _default(network: Network) -> Iterator[Way]:
    """The system-generated default route, unless it was deleted (behaviour 4.3.3)."""
    if not network.delete_default_routes_on_create:
        yield Way("0.0.0.0/0", network.full_name, "INTERNET_GATEWAY", priority=DEFAULT_ROUTE_PRIORITY)


def _of(route: Route, origin: Origin) -> Way:
    hops: dict[Hop, str | None] = {
        "INTERNET_GATEWAY": route.next_hop_gateway,
        "INSTANCE": route.next_hop_instance,
        "IP": route.next_hop_ip,
        "VPN_TUNNEL": route.next_hop_vpn_tunnel,
    }
    hop, target = next((hop, target) for hop, target in hops.items() if target)
    return Way(route.dest_range, route.network, hop, target, route.priority, origin)
