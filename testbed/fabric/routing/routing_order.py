"""Which routes of a VPC network apply, and which of them a packet takes (behaviour 4.3.5).

For each destination range: routes whose tags the sender has, and those without tags; local ones before those of peered
networks; those whose next hop is there; the lowest priority number; static before dynamic.  What is left is ECMP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NamedTuple

from testbed.fabric.hybrid.bgp import Dynamic
from testbed.fabric.wiring import DEFAULT
from testbed.model.compute.network import DEFAULT_ROUTE_PRIORITY, Network
from testbed.model.compute.network import Route as StaticRoute
from testbed.model.core.ranges import SPECIAL_PATHS, inside
from testbed.model.peering import Sides, active
from testbed.model.topology import Topology

Learned = Callable[[Network, str | None], Iterable[Dynamic]]
"""The dynamic routes of a network that apply in a region by its routing mode (behaviour 4.3.10), or all of them."""


class Via(NamedTuple):
    """A next hop: the node or the address of a NIC of the network, or the internet gateway."""

    node: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route that may be taken."""

    destination: str
    owner: str
    """The network that the next hop is in."""
    via: Via
    priority: int
    dynamic: bool = False
    tags: frozenset[str] = frozenset()

    @property
    def rank(self) -> tuple[int, bool]:
        """The smallest wins."""
        return self.priority, self.dynamic

    @property
    def to_internet(self) -> bool:
        """Whether the next hop is the default internet gateway."""
        return self.via == Via()


Selection = Mapping[str, frozenset[Candidate]]
"""The routes that are taken, by destination: several are ECMP; none, if every next hop is gone (behaviour 4.3.8)."""


@dataclass(frozen=True, slots=True)
class Sender:
    """What the routes that apply depend on: network tags, and the region; of others than NICs neither."""

    tags: frozenset[str] = frozenset()
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of all networks but those of subnets, which no other can override."""

    topology: Topology
    learned: Learned
    node_of: Callable[[str], str]
    """The node of an instance, or of what a VPN tunnel belongs to, by its full name."""
    is_there: Callable[[str, Via], bool]
    """Whether a next hop of a network is there."""

    def candidates(self, network: Network, region: str | None = None) -> Iterator[Candidate]:
        """Its own routes: the default route (behaviour 4.3.3), static and dynamic ones."""
        name = network.full_name
        if not network.delete_default_routes_on_create:
            yield Candidate(DEFAULT, name, Via(), DEFAULT_ROUTE_PRIORITY)
        for route in self.topology.compute.routes:
            if route.network == name:
                tags = frozenset(route.tags)
                yield Candidate(route.dest_range, name, self._via(route), route.priority, tags=tags)
        for found in self.learned(network, region):
            yield Candidate(found.destination, name, Via(node=found.node), found.priority, dynamic=True)

    def exported(self, network: Network, sides: Sides, region: str | None = None) -> Iterator[Candidate]:
        """The custom routes of a network that its peer imports (4.5.3).  The peer sees `sides` in this order."""
        if sides.theirs.export_custom_routes and sides.mine.import_custom_routes:
            yield from (c for c in self.candidates(network, region) if not c.tags and not c.to_internet)

    def select(self, network: Network, fixed: Iterable[str], sender: Sender) -> Selection:
        """What a sender takes; no route leads into the `fixed` ranges of subnets, or special paths (behaviour 4.3.5).

        If several peers offer a destination, the one whose name comes first is taken: which one Google does not say.
        """
        networks = {one.full_name: one for one in self.topology.networks}
        found = [c for c in self.candidates(network, sender.region) if not c.tags or c.tags & sender.tags]
        for (mine, theirs), sides in sorted(active(self.topology.networks).items()):
            if mine == network.full_name:
                found += self.exported(networks[theirs], sides)
        return self._best(network.full_name, found, fixed)

    def for_peer(self, network: Network, sides: Sides, fixed: Iterable[str]) -> Selection:
        """What packets from a peer take: it knows those routes only that it imports, and nothing is transitive."""
        return self._best(network.full_name, self.exported(network, sides), fixed)

    def _best(self, network: str, candidates: Iterable[Candidate], fixed: Iterable[str]) -> Selection:
        ranges = [*map(IPv4Network, fixed), *SPECIAL_PATHS]
        by_destination: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            if not inside(candidate.destination, ranges):
                by_destination.setdefault(candidate.destination, []).append(candidate)
        return {to: frozenset(self._of_one_range(network, found)) for to, found in by_destination.items()}

    def _of_one_range(self, network: str, candidates: list[Candidate]) -> Iterator[Candidate]:
        owners = {candidate.owner for candidate in candidates}
        owner = network if network in owners else min(owners)
        there = [c for c in candidates if c.owner == owner and (c.to_internet or self.is_there(owner, c.via))]
        best = min((candidate.rank for candidate in there), default=None)
        return (candidate for candidate in there if candidate.rank == best)

    def _via(self, route: StaticRoute) -> Via:
        if route.next_hop_ip:
            return Via(address=route.next_hop_ip)
        if route.next_hop_instance:
            return Via(node=self.node_of(route.next_hop_instance))
        if route.next_hop_vpn_tunnel:
            return Via(node=self.node_of(route.next_hop_vpn_tunnel))
        return Via()
