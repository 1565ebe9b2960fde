"""Compiles the routes of VPC networks: the routes that `routing_order` selects become the kernel's tables.

The main table of a network's segment has what cannot be overridden (NICs, subnets, special paths) and what untagged
senders take.  NICs for which something else is selected, by their tags or their region, form a *class*: packets from
them are marked (one iptables rule and one set per class, and in networks with classes only), and the mark leads to a
table of the class.  That one has all that is selected for the class, so that the most specific destination wins whether
its route has tags or not; for the rest it throws, and the search goes on in the main table.  Anti-spoofing asks the
routes without a mark, before one is set: what is behind a device does not depend on who sends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric import producers
from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.firewall.chains import Nic
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import MAIN_TABLE, Hop, KernelRoute, Mark, RoutingRule, over
from testbed.fabric.routing import equal_hops
from testbed.fabric.routing.routing_order import Candidate, Learned, Routes, Selection, Sender, Via
from testbed.fabric.vpc import MARKS, Vpc
from testbed.fabric.wiring import DEFAULT, POLICY_ROUTED, Space
from testbed.model.compute.network import Network
from testbed.model.peering import Sides, active, offered
from testbed.model.topology import Topology

_CUSTOM = 1
"""The metric of static and dynamic routes: one per destination, so that another takes its place in one go."""
_NOTHING = 1 << 20
_HOP_RULE, _CLASS_RULE = 999, 1000
_TABLES = 1 << 20
"""Numbers of the classes' tables begin here."""
_HOP_TABLES = 1 << 24
"""Those of tables with one of several equal next hops begin here."""


def peerings(topology: Topology, running: Running, vpcs: Mapping[str, Vpc]) -> None:
    """Join the networks of active peerings; each imports subnets of the other (behaviour 4.5.1, 4.5.2)."""
    for (mine, theirs), sides in sorted(active(topology.networks).items()):
        if mine < theirs:
            vpcs[mine].join(vpcs[theirs])
        further = producers.ranges(topology, running, theirs)
        for route in offered(topology, theirs, sides.theirs, sides.mine, further):
            if route.imported and route.type == "SUBNET_PEERING_ROUTE":
                vpcs[mine].learn(vpcs[theirs], route.range)


def lay(topology: Topology, running: Running, vpcs: Mapping[str, Vpc], internet: Space, learned: Learned) -> None:
    """Lay the static and dynamic routes of all networks, when everything is attached and joined."""
    compiler = _RouteCompiler(topology, running, vpcs, internet, learned)
    for network in topology.networks:
        compiler.network(network)


@dataclass(frozen=True, slots=True)
class _RouteCompiler:
    topology: Topology
    running: Running
    vpcs: Mapping[str, Vpc]
    internet: Space
    learned: Learned

    @property
    def _routes(self) -> Routes:
        return Routes(self.topology, self.learned, self._node, self._there)

    def _node(self, resource: str) -> str:
        """The node of an instance or of a tunnel; that of a classic VPN tunnel is its gateway's."""
        tunnels = (t for t in self.topology.compute.vpn_tunnels if t.full_name == resource)
        return self.running.name(NameKey.node(next((t.target_vpn_gateway or resource for t in tunnels), resource)))

    def _there(self, network: str, via: Via) -> bool:
        return _hop(self.vpcs[network].space, via) is not None

    def network(self, network: Network) -> None:
        """All routes of one network."""
        vpc, routes = self.vpcs[network.full_name], self._routes
        fixed = [*vpc.subnets, *vpc.imported]
        usual = routes.select(network, fixed, Sender())
        above = frozenset(
            route.destination
            for route in vpc.space.routes
            if route.table == MAIN_TABLE and not route.destination.endswith("/32")
        )
        self._lay(vpc, usual, MAIN_TABLE)
        self._keep(vpc, Mark(0, MARKS), MAIN_TABLE, above)
        self._let_pass(vpc, usual)
        for sender, nics in _classes(self.topology, network, vpc, self._applying(network)):
            selected = routes.select(network, fixed, sender)
            if _ways(selected) != _ways(usual):
                name = f"{sorted(sender.tags)} {sender.region}"
                vpc.classes.append(
                    (frozenset(nic.address for nic in nics), None, self._class(vpc, name, selected, above))
                )
        for peer, sides in self._importers(network):
            selected = routes.for_peer(network, sides, vpc.subnets)
            if _differ(selected, usual, vpc.imported):
                mark = self._class(vpc, peer, selected, above - {*vpc.imported})
                vpc.classes.append((frozenset(), interface_name(self.vpcs[peer].space.name), mark))

    def _applying(self, network: Network) -> tuple[frozenset[str], bool]:
        """The tags of its routes, and whether the region matters."""
        mine = (route for route in self.topology.compute.routes if route.network == network.full_name)
        return frozenset(tag for route in mine for tag in route.tags), any(True for _ in self.learned(network, None))

    def _importers(self, network: Network) -> Iterator[tuple[str, Sides]]:
        """The peers of a network, with each one's view of the peering."""
        for (mine, theirs), sides in sorted(active(self.topology.networks).items()):
            if theirs == network.full_name:
                yield mine, sides

    def _class(self, vpc: Vpc, name: str, selected: Selection, above: Iterable[str]) -> Mark:
        """The table of a class, and the mark that leads to it."""
        taken = {rule.mark.value for rule in vpc.space.rules if rule.mark}
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2]) or 1
        while number << 16 in taken:
            number = number % 0xFFFF + 1
        mark, table = Mark(number << 16, MARKS), _TABLES + number
        self._lay(vpc, selected, table)
        self._keep(vpc, mark, table, above)
        throws = {*above} - selected.keys()
        vpc.space.routes |= {KernelRoute(cidr, table=table, kind="throw") for cidr in throws}
        if DEFAULT not in selected.keys() | throws:
            vpc.space.routes.add(KernelRoute(DEFAULT, table=table, metric=_NOTHING, kind="blackhole"))
        vpc.space.rules.add(RoutingRule(_CLASS_RULE, DEFAULT, table, mark))
        vpc.space.sysctls |= POLICY_ROUTED
        return mark

    def _lay(self, vpc: Vpc, selected: Selection, table: int) -> None:
        for destination, chosen in selected.items():
            hops = frozenset(filter(None, (self._to(vpc, candidate) for candidate in chosen)))
            route = KernelRoute(destination, metric=_CUSTOM, table=table)
            if hops:
                vpc.space.routes.add(over(route, hops))
            else:
                vpc.space.routes.add(KernelRoute(destination, metric=_CUSTOM, table=table, kind="blackhole"))

    def _keep(self, vpc: Vpc, sender: Mark, table: int, above: Iterable[str]) -> None:
        """Keep the flows of a class of senders on the one that they took of the equal next hops of the class's table.

        What is more specific than a route with several next hops is left to the rules that follow.
        """
        laid = {r.destination: r for r in vpc.space.routes if (r.table, r.metric) == (table, _CUSTOM)}
        others = {interface_name(one.name) for one in (self.internet, *(peer.space for peer in self.vpcs.values()))}
        single = {route.device for route in laid.values() if route.device}
        equal = {hop for route in laid.values() for hop in route.hops if hop.device not in others}
        for device in sorted((single | {hop.device for hop in equal}) - others):
            vpc.equal_hops[device] = equal_hops.number(device, vpc.equal_hops)
        for hop in sorted(equal, key=repr):
            number = vpc.equal_hops[hop.device]
            its = _HOP_TABLES + (sender.value >> 16 << 8 | number)
            for destination in {*above, *laid}:
                kept = destination in laid and hop in laid[destination].hops
                route = KernelRoute(destination, hop.device, hop.gateway, metric=_CUSTOM, table=its)
                throw = KernelRoute(destination, metric=_CUSTOM, table=its, kind="throw")
                vpc.space.routes.add(route if kept else throw)
            for mark in equal_hops.marks(number):
                vpc.space.rules.add(
                    RoutingRule(_HOP_RULE, DEFAULT, its, Mark(sender.value | mark.value, MARKS | mark.mask))
                )
            vpc.space.sysctls |= POLICY_ROUTED

    def _to(self, vpc: Vpc, candidate: Candidate) -> Hop | None:
        """The next hop; if it is an instance, what it may take is up to `vpc`."""
        if candidate.to_internet:
            return _hop(vpc.space, Via(node=self.internet.name))
        other = self.vpcs[candidate.owner]
        if other is not vpc:
            return _hop(vpc.space, Via(node=other.space.name))
        hop = _hop(vpc.space, candidate.via)
        if hop is not None and hop.device not in vpc.space.anywhere:
            vpc.space.next_hops |= {n for n in vpc.space.neighbours if n.device == hop.device}
        return hop

    def _let_pass(self, vpc: Vpc, selected: Selection) -> None:
        """What goes to peers by their routes passes through them, and so do the answers (behaviour 4.5.3)."""
        for destination, chosen in sorted(selected.items()):
            for owner in sorted({candidate.owner for candidate in chosen}):
                if (other := self.vpcs[owner]) is not vpc:
                    other.transit.append((destination, vpc.nics))


def _hop(space: Space, via: Via) -> Hop | None:
    device = interface_name(via.node) if via.node else None
    found = [n for n in space.neighbours if device == n.device or via.address == n.address]
    return next((Hop(n.device, n.address) for n in sorted(found, key=repr)), None)


def _classes(
    topology: Topology, network: Network, vpc: Vpc, applying: tuple[frozenset[str], bool]
) -> Iterator[tuple[Sender, list[Nic]]]:
    """The NICs of a network by what their routes depend on."""
    tags, by_region = applying
    if not tags and not by_region:
        return
    regions = _regions(topology, network.full_name) if by_region else {}
    found: dict[tuple[frozenset[str], str | None], list[Nic]] = {}
    for nic in vpc.nics:
        region = next((name for cidr, name in regions.items() if IPv4Address(nic.address) in cidr), None)
        found.setdefault((nic.tags & tags, region), []).append(nic)
    for (mine, region), nics in sorted(found.items(), key=lambda item: (sorted(item[0][0]), item[0][1] or "")):
        yield Sender(mine, region), nics


def _regions(topology: Topology, network: str) -> dict[IPv4Network, str]:
    found = {IPv4Network(s.ip_cidr_range): s.region for s in topology.compute.subnetworks if s.network == network}
    for connector in topology.connectors_in(network):
        found[IPv4Network(topology.connector_range(connector))] = connector.region
    return found


def _ways(selection: Selection) -> Mapping[str, frozenset[tuple[str, Via]]]:
    """Where packets go: the networks and next hops, whatever the routes' priorities are."""
    return {to: frozenset((one.owner, one.via) for one in chosen) for to, chosen in selection.items()}


def _differ(selected: Selection, usual: Selection, imported: Iterable[str]) -> bool:
    """Whether a peer's packets would go elsewhere by the usual routes of a network than by those that it knows."""
    mine, theirs = _ways(selected), _ways(usual)
    if any(theirs.get(destination) != ways for destination, ways in mine.items()):
        return True
    others = [IPv4Network(cidr) for cidr in (usual.keys() - selected.keys()) | {*imported}]
    return any(other.subnet_of(IPv4Network(destination)) for other in others for destination in selected)
