"""Routes: where a network sends a packet (behaviour 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Network
from typing import Literal

from testbed.model.compute.network import DEFAULT_ROUTE_PRIORITY, Network, Route
from testbed.model.peering import active, offered
from testbed.oracle.cloud import Cloud, within
from testbed.oracle.tunnels import attachments

Hop = Literal["NETWORK", "INTERNET_GATEWAY", "INSTANCE", "IP", "VPN_TUNNEL", "INTERCONNECT", "SPECIAL"]
_MAX_PRIORITY = 65535
_SPECIAL = ("35.199.224.0/19", "35.191.0.0/16", "130.211.0.0/22", "35.235.240.0/20", "35.199.192.0/19")


class RouteOrigin(IntEnum):
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
    origin: RouteOrigin = RouteOrigin.LOCAL
    running: bool = True
    """Whether the next hop is there: if it is gone, the route is disregarded."""
    tags: frozenset[str] = frozenset()
    dynamic: bool = False
    """Whether it was learned: at equal priority a static one is taken (behaviour 4.3.5)."""

    @property
    def rank(self) -> tuple[int, bool]:
        """The smallest wins."""
        return self.priority, self.dynamic

    @property
    def specific(self) -> int:
        """The length of its range's prefix."""
        return IPv4Network(self.range).prefixlen


def ways(cloud: Cloud, network: str, destination: str, tags: frozenset[str]) -> list[list[Way]]:
    """The ways that a sender with these tags has for a destination: sets of equal ones, of which a flow has one.

    There are several if Google may choose (which one of several peers is taken).  None is the same as no route at all.
    """
    if any(within(destination, cidr) for cidr in _SPECIAL):  # behaviour 4.3.11
        return [[Way(destination, network, "SPECIAL")]]
    subnets = [found for found in _subnets(cloud, network) if within(destination, found.range)]
    if subnets:  # they cannot be overridden (behaviour 4.3.2, 4.3.5)
        return [[max(subnets, key=lambda found: found.specific)]]
    hidden = [found.range for found in _subnets(cloud, network)]
    found = [
        one
        for one in (*_static(cloud, network), *_dynamic(cloud, network))
        if within(destination, one.range)
        and (not one.tags or one.tags & tags)
        and not any(IPv4Network(one.range).subnet_of(IPv4Network(cidr)) for cidr in (*hidden, *_SPECIAL))
    ]
    longest = max((one.specific for one in found), default=0)
    found = [one for one in found if one.specific == longest]
    local = [one for one in found if one.origin is RouteOrigin.LOCAL]
    if local or not found:
        return [_survivors(local)] if found else []
    owners = {one.network for one in found}
    return [_survivors([one for one in found if one.network == owner]) for owner in sorted(owners)]


def _survivors(equal: list[Way]) -> list[Way]:
    """Of routes for one range in one network: those whose next hop runs, and of these the lowest priority number."""
    there = [one for one in equal if one.running]
    lowest = min((one.rank for one in there), default=None)
    return [one for one in there if one.rank == lowest] or equal[:1]


def _subnets(cloud: Cloud, network: str) -> Iterator[Way]:
    """The network's own subnets, and those of its direct peers, producers among them (behaviour 4.5.2, 4.5.4)."""
    yield from (Way(cidr, network, "NETWORK") for cidr in cloud.topology.ranges_of(network))
    direct = (server for server in cloud.servers if server.consumer == network and not server.private)
    yield from (Way(server.range, server.network, "NETWORK") for server in direct)
    for (mine, theirs), sides in active(cloud.topology.networks).items():
        if mine == network:
            further = cloud.private_services(theirs)
            for route in offered(cloud.topology, theirs, sides.theirs, sides.mine, further):
                if route.type == "SUBNET_PEERING_ROUTE" and route.imported:
                    yield Way(route.range, theirs, "NETWORK")


def _static(cloud: Cloud, network: str) -> Iterator[Way]:
    """The default route, static routes, and those that a peer exports and this network imports (behaviour 4.5.3)."""
    for owner in cloud.topology.networks:
        if owner.full_name == network:
            yield from _default(owner)
    peers = active(cloud.topology.networks)
    for route in cloud.topology.compute.routes:
        if route.network == network:
            yield _of(cloud, route, RouteOrigin.LOCAL)
        elif (network, route.network) in peers and not route.next_hop_gateway and not route.tags:
            sides = peers[network, route.network]
            if sides.theirs.export_custom_routes and sides.mine.import_custom_routes:
                yield _of(cloud, route, RouteOrigin.PEERING)


def _dynamic(cloud: Cloud, network: str) -> Iterator[Way]:
    """What the network's attachments have learned, and those of a peer that exports it (behaviour 4.11, 4.5.3).

    All are in one region.  A priority above the highest counts as that (our choice).
    """
    peers = active(cloud.topology.networks)
    for link in attachments(cloud):
        sides = peers.get((network, link.network))
        exchanged = sides and sides.theirs.export_custom_routes and sides.mine.import_custom_routes
        if network != link.network and not exchanged:
            continue
        origin = RouteOrigin.LOCAL if network == link.network else RouteOrigin.PEERING
        for route in cloud.running.learned:
            if route.node == link.node:
                priority = min(route.priority, _MAX_PRIORITY)
                yield Way(route.destination, link.network, "INTERCONNECT", link.name, priority, origin, dynamic=True)


def _default(network: Network) -> Iterator[Way]:
    """The system-generated default route, unless it was deleted (behaviour 4.3.3)."""
    if not network.delete_default_routes_on_create:
        yield Way("0.0.0.0/0", network.full_name, "INTERNET_GATEWAY", priority=DEFAULT_ROUTE_PRIORITY)


def _of(cloud: Cloud, route: Route, origin: RouteOrigin) -> Way:
    hops: dict[Hop, str | None] = {
        "INTERNET_GATEWAY": route.next_hop_gateway,
        "INSTANCE": route.next_hop_instance,
        "IP": route.next_hop_ip,
        "VPN_TUNNEL": route.next_hop_vpn_tunnel,
    }
    hop, target = next((hop, target) for hop, target in hops.items() if target)
    running = True
    if hop == "INSTANCE":
        running = any(one.runs for one in cloud.topology.compute.instances if one.full_name == target)
    if hop == "IP":
        nic = cloud.nic(route.network, target)
        running = nic is not None and nic.runs
    return Way(route.dest_range, route.network, hop, target, route.priority, origin, running, frozenset(route.tags))
