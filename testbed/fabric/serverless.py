"""Compiles the serverless side: a region's infrastructure, runtimes with their tunnels, connector instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.addressing import INNER, OUTER, inner_address
from testbed.fabric.managed_rules import HEALTH_PORT, TUNNEL_PORT
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import Chain, Interface, Nexthop, NexthopGroup, PolicyRule, Route, Table, Tunnel
from testbed.fabric.vpc import INTERNET
from testbed.fabric.wiring import DEFAULT, ROUTER, Space, Wiring
from testbed.model.ranges import INTERNAL, PRIVATE_RANGES_ONLY, SERVERLESS
from testbed.model.vpcaccess import Egress

TUNNEL = "tun0"
TUNNEL_MTU = 1460
"""Inside the tunnel a packet is as large as in the network (behaviour 2.6.4); outside it needs 36 bytes more."""
OUTER_MTU = 1500
GROUP = 1
BUCKETS = 128
IDLE_TIMER = 30
"""Seconds without a packet after which a bucket of the nexthop group may move to a new instance (our choice)."""
_FIRST_TABLE = 1000


def _tunnel(address: str | None) -> Tunnel:
    addresses = frozenset({f"{address}/32"}) if address else frozenset[str]()
    return Tunnel(Interface(TUNNEL, addresses, mtu=TUNNEL_MTU), TUNNEL_PORT)


def _nexthop(identifier: int, network_identifier: int, destination: str) -> Nexthop:
    return Nexthop(identifier, TUNNEL, network_identifier, destination)


@dataclass(frozen=True, slots=True)
class Runtime:
    """One container instance of a serverless workload."""

    node: str
    address: str
    """Its outer address."""
    connector: str | None
    egress: Egress


@dataclass(frozen=True, slots=True)
class ConnectorEnds:
    """What both ends of a connector's tunnels must know."""

    name: str
    identifier: int
    """The network identifier of its tunnels."""
    cidr: str
    instances: tuple[str, ...]
    """Addresses of all instances."""
    healthy: tuple[str, ...]
    """Addresses of those that get new flows."""


@dataclass(slots=True)
class Region:
    """The serverless infrastructure of a region, under construction."""

    space: Space
    wiring: Wiring
    pool: str
    """The range of its dynamic pool for direct egress."""
    front_ends: set[str] = field(default_factory=set)
    runtimes: list[Runtime] = field(default_factory=list)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    """Addresses that speak the tunnel with each other: a runtime's and an instance's."""

    def connect_internet(self, internet: Space, pool: Iterable[str]) -> None:
        """Direct egress: from a dynamic pool address to the internet (behaviour 3.2.4)."""
        self.wiring.join(self.space, internet, mtu=OUTER_MTU)
        self.wiring.route(self.space, [DEFAULT], internet)
        self.wiring.route(internet, pool, self.space)

    def connect_vpc(self, vpc: Space, share: str, connectors: Sequence[ConnectorEnds], index: int) -> None:
        """The way of the tunnels into a network and, in it, the special return path (behaviour 2.1.5, 4.3.11).

        A runtime sees the network of its own connector only, by a routing table of its own: networks may use the same
        addresses.
        """
        self.wiring.join(self.space, vpc, mtu=OUTER_MTU)
        self.wiring.route(vpc, [share], self.space)
        table = _FIRST_TABLE + index
        self.wiring.route(self.space, [connector.cidr for connector in connectors], vpc, table=table)
        by_name = {connector.name: connector for connector in connectors}
        for runtime in self.runtimes:
            connector = by_name.get(runtime.connector or "")
            if connector is not None:
                self.space.rules.add(PolicyRule(_FIRST_TABLE, f"{runtime.address}/32", table))
                self.pairs |= {(runtime.address, instance) for instance in connector.instances}

    def attach(self, runtime: Runtime, connector: ConnectorEnds | None) -> Space:
        """Attach a runtime.  Its egress setting is its routing table."""
        self.runtimes.append(runtime)
        node = self.wiring.node(runtime.node, {"net.ipv4.fib_multipath_hash_policy": "1"})
        direct = [str(SERVERLESS)]
        if connector is None or runtime.egress == "PRIVATE_RANGES_ONLY":
            direct.append(DEFAULT)
        if connector is not None:
            direct.append(connector.cidr)
        self.wiring.attach(node, "eth0", self.space, runtime.address, mtu=OUTER_MTU, routes=direct)
        if connector is not None:
            everything = runtime.egress == "ALL_TRAFFIC"
            tunnelled = [DEFAULT] if everything else [str(cidr) for cidr in PRIVATE_RANGES_ONLY]
            _runtime_tunnel(node, runtime, connector, tunnelled)
        return node

    def finish(self) -> None:
        """Write the tables, when everything is attached."""
        space, device = self.space, interface_name(INTERNET)
        fronts = space.set_of("hash:ip", self.front_ends)
        runtimes = space.set_of("hash:ip", (runtime.address for runtime in self.runtimes))
        internal = space.set_of("hash:net", map(str, INTERNAL))
        both_ways = {*self.pairs, *((b, a) for a, b in self.pairs)}
        tunnels = space.set_of("hash:ip,port,ip", (f"{a},udp:{TUNNEL_PORT},{b}" for a, b in both_ways))
        forward = (
            # Each serverless resource communicates with its own connector only (behaviour 2.1.8).
            f"-p udp -m set --match-set {tunnels} src,dst,dst -j ACCEPT",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            f"-p tcp -m set --match-set {fronts} src -m set --match-set {runtimes} dst -j ACCEPT",
            f"-o {device} -m set --match-set {runtimes} src -m set ! --match-set {internal} dst -j ACCEPT",
        )
        first, *_, last = (str(address) for address in IPv4Network(self.pool).hosts())
        space.tables += [
            self.wiring.anti_spoofing(space),
            Table("filter", (Chain("INPUT", "DROP"), Chain("FORWARD", "DROP", forward), Chain("OUTPUT", "ACCEPT"))),
            _source_nat(f"-o {device} -m set --match-set {runtimes} src -j SNAT --to-source {first}-{last}"),
        ]


def _source_nat(rule: str) -> Table:
    names = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
    return Table("nat", tuple(Chain(name, "ACCEPT", (rule,) if name == "POSTROUTING" else ()) for name in names))


def _runtime_tunnel(node: Space, runtime: Runtime, connector: ConnectorEnds, destinations: Iterable[str]) -> None:
    """The runtime's end: one nexthop per healthy instance, and a group of them in which every flow keeps its place."""
    source = inner_address(runtime.address)
    node.tunnels.add(_tunnel(source))
    hops = [_nexthop(_hop_id(address), connector.identifier, address) for address in connector.healthy]
    if not hops:
        node.routes |= {Route(destination, kind="unreachable") for destination in destinations}
        return
    node.nexthops |= set(hops)
    node.groups.add(NexthopGroup(GROUP, tuple(sorted(hop.id for hop in hops)), BUCKETS, IDLE_TIMER))
    node.routes |= {Route(destination, nexthop=GROUP, source=source) for destination in destinations}


def _hop_id(address: str) -> int:
    """A nexthop object's id: any number but the group's; the address's low bits, so that it does not change."""
    return (int(IPv4Address(address)) & 0xFFFF) + GROUP + 1


def connector_instance(node: Space, connector: ConnectorEnds, runtimes: Iterable[Runtime]) -> None:
    """A connector instance's end: a tunnel to every runtime that uses the connector, forwarding, masquerade."""
    node.sysctls |= ROUTER
    node.tunnels.add(_tunnel(None))
    for runtime in runtimes:
        hop = _nexthop(_hop_id(runtime.address), connector.identifier, runtime.address)
        node.nexthops.add(hop)
        node.routes.add(Route(f"{inner_address(runtime.address)}/32", nexthop=hop.id))
    internal = node.set_of("hash:net", map(str, INTERNAL))
    out = f"-i {TUNNEL} -o eth0"
    known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    forward = (
        known,
        # ICMP is not supported to internal addresses, though the firewall allows it (behaviour 3.7, 3.7.1: likely).
        f"{out} -p icmp -m set --match-set {internal} dst -m comment --comment icmp-not-supported -j DROP",
        f"{out} -p tcp -j ACCEPT",
        f"{out} -p udp -j ACCEPT",
        f"{out} -p icmp -j ACCEPT",
    )
    inbound = (
        "-i lo -j ACCEPT",
        known,
        f"-s {OUTER} -i eth0 -p udp -m udp --dport {TUNNEL_PORT} -j ACCEPT",
        f"-i eth0 -p tcp -m tcp --dport {HEALTH_PORT} -j ACCEPT",
    )
    node.tables += [
        Table("filter", (
            Chain("INPUT", "DROP", inbound), Chain("FORWARD", "DROP", forward), Chain("OUTPUT", "ACCEPT"),
        )),
        _source_nat(f"-s {INNER} -o eth0 -j MASQUERADE"),
    ]  # fmt: skip
