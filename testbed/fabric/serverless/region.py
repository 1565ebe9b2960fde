"""Compiles the serverless side: a region's infrastructure with the tunnels of its runtimes, and connector instances.

A runtime's tunnels end in the region's namespace, not in its own: untrusted code sees no tunnel, and cannot choose one.
A runtime has two addresses, its NIC's (the inner one) and that of its tunnel ends (the outer one).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric import dns_interception, link_local
from testbed.fabric.allocation.addressing import INNER, OUTER, inner_address, inner_share
from testbed.fabric.dropping import drop
from testbed.fabric.firewall import connection_tracking
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import Chain, Interface, KernelRoute, Nexthop, RoutingRule, Table, Tunnel
from testbed.fabric.serverless import capacity, instance_choice
from testbed.fabric.serverless.instance_choice import Choice
from testbed.fabric.wiring import DEFAULT, POLICY_ROUTED, ROUTER, Space, Wiring
from testbed.model.core.ranges import INTERNAL, METADATA_SERVER, PRIVATE_RANGES_ONLY
from testbed.model.core.well_known import INTERNET
from testbed.model.drop_causes import ICMP_AT_CONNECTOR
from testbed.model.managed_rules import HEALTH_PORT, RETURN_PORT, TUNNEL_PORT
from testbed.model.serverless.capacity import Limits
from testbed.model.serverless.connector import Egress

TUNNEL, RETURN = "tun0", "tun1"
"""The devices of the tunnels to connector instances, and of those back."""
TUNNEL_MTU = 1460
"""Inside the tunnel a packet is as large as in the network (behaviour 2.6.4); outside it needs 36 bytes more."""
OUTER_MTU = 1500
SHORT_SEGMENTS = f"-o {TUNNEL} -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {TUNNEL_MTU - 40}"
"""A runtime's network interface has 1500 bytes, so it is told to peers that there is less room: TCP works without ICMP.

The rule is behind the one for known connections: only first packets come to it.  What a runtime itself sends needs no
rule, as the end of the tunnel is next to it.
"""
_TUNNELS = frozenset(
    {
        Tunnel(Interface(TUNNEL, mtu=TUNNEL_MTU), TUNNEL_PORT),
        Tunnel(Interface(RETURN, mtu=TUNNEL_MTU), RETURN_PORT),
    }
)
_FIRST_TABLE = 1000
"""Routing tables of the networks; those of runtimes have larger numbers."""
_OUTER_RULE, _CHOSEN_RULE, _INNER_RULE = 1000, 1001, 1002


@dataclass(frozen=True, slots=True)
class Runtime:
    """One container instance of a serverless workload."""

    node: str
    outer: str
    """The address of its tunnel ends."""
    connector: str | None
    egress: Egress
    direct: bool = False
    """Whether it has an interface in a network: its own routes are its egress setting then (`direct_egress`)."""

    @property
    def reaches_internet(self) -> bool:
        """Whether anything of it goes directly to the internet, from the pool."""
        return not (self.direct and self.egress == "ALL_TRAFFIC")

    @property
    def inner(self) -> str:
        """The address of its NIC, and so the source of what it sends through the tunnel."""
        return inner_address(self.outer)

    @property
    def number(self) -> int:
        """The number of its routing table, and of the nexthop object that leads to it."""
        return _low(self.outer)

    def hop(self, instance: str) -> int:
        """The number of the nexthop object for a connector instance, and of the routing table that leads there."""
        return self.number << 16 | _low(instance)


def _low(address: str) -> int:
    return int(IPv4Address(address)) & 0xFFFF


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
    """Addresses of those that carry flows."""


@dataclass(slots=True)
class Region:
    """The serverless infrastructure of a region, under construction."""

    space: Space
    wiring: Wiring
    share: str
    """Its share of the outer addresses."""
    pool: str
    """The range of its dynamic pool for direct egress."""
    front_ends: dict[str, str] = field(default_factory=dict)
    """Addresses of front ends, with the device that each is attached to."""
    runtimes: list[Runtime] = field(default_factory=list)
    connectors: dict[str, ConnectorEnds] = field(default_factory=dict)
    """Those of its runtimes, by name."""
    resolvers: dict[Runtime, tuple[str, KernelRoute]] = field(default_factory=dict)
    """Which address of the name server each runtime asks, and the way there."""
    pairs: set[tuple[str, str]] = field(default_factory=set)
    """Outer addresses that speak the tunnel with each other: an instance's and a runtime's."""

    @classmethod
    def begin(cls, wiring: Wiring, name: str, share: str, pool: str) -> Region:
        """The segment of a region; the first address of its share is the source of the ICMP errors that it sends."""
        space = wiring.segment(name, loopback=str(IPv4Network(share)[1]))
        space.sysctls |= {**POLICY_ROUTED, **connection_tracking.SYSCTLS}
        space.tunnels |= _TUNNELS
        space.loopback.add(link_local.PREFIX)
        return cls(space, wiring, share, pool)

    def connect_internet(self, internet: Space) -> None:
        """Direct egress: from a dynamic pool address to the internet (behaviour 3.2.4)."""
        self.wiring.join(self.space, internet, mtu=OUTER_MTU)
        self.wiring.route(self.space, [DEFAULT], internet)
        self.wiring.route(internet, [self.pool], self.space)

    def connect_vpc(self, vpc: Space, share: str, connectors: Sequence[ConnectorEnds], index: int) -> None:
        """The way of the tunnels into a network and, in it, the special return path (behaviour 2.1.5, 4.3.11).

        A tunnel takes the way to the network of its connector by a routing table: networks may use the same addresses.
        """
        self.wiring.join(self.space, vpc, mtu=OUTER_MTU)
        self.wiring.route(vpc, [share], self.space)
        table = _FIRST_TABLE + index
        self.wiring.route(self.space, [connector.cidr for connector in connectors], vpc, table=table)
        names = {connector.name for connector in connectors}
        for runtime in self.runtimes:
            if runtime.connector in names:
                self.space.rules.add(RoutingRule(_OUTER_RULE, f"{runtime.outer}/32", table))

    def attach_front_end(self, node: Space, device: str, address: str, share: str) -> None:
        """Attach a front end, with the way to the runtimes."""
        self.front_ends[address] = self.wiring.attach(node, device, self.space, address, mtu=OUTER_MTU, routes=[share])

    def resolve(self, runtime: Runtime, address: str, way: KernelRoute) -> None:
        """Have the name server answer a runtime at one of its addresses: not by the tunnel, whatever it has of one."""
        self.resolvers[runtime] = address, way
        self.space.routes.add(way)
        if runtime.connector is not None:
            self.space.routes.add(replace(way, table=runtime.number))

    def attach(self, runtime: Runtime, connector: ConnectorEnds | None) -> None:
        """Attach a runtime, and lay its tunnels."""
        self.runtimes.append(runtime)
        routes = [DEFAULT] if runtime.reaches_internet else [inner_share(self.share), link_local.PREFIX]
        node = self.wiring.node(runtime.node)
        self.wiring.attach(node, "eth0", self.space, runtime.inner, mtu=OUTER_MTU, routes=routes)
        if connector is not None:
            self.connectors[connector.name] = connector
            self.space.loopback.add(f"{runtime.outer}/32")
            self.pairs |= {(instance, runtime.outer) for instance in connector.instances}
        if runtime.connector is not None:  # also if there is none of that name: it is not bypassed (behaviour 1.10.5a)
            self._tunnels(runtime, connector)

    def _tunnels(self, runtime: Runtime, connector: ConnectorEnds | None) -> None:
        """One nexthop per instance, and a routing table that leads there what is marked for it.

        The egress setting is the destinations in these tables: what they do not have goes directly to the internet.
        What no healthy instance takes is refused by the runtime's own table.
        """
        space = self.space
        through = [DEFAULT] if runtime.egress == "ALL_TRAFFIC" else [*map(str, PRIVATE_RANGES_ONLY)]
        if connector is not None:
            for address in connector.instances:
                hop, mark = runtime.hop(address), instance_choice.mark(address)
                space.nexthops.add(Nexthop(hop, TUNNEL, connector.identifier, address, runtime.outer))
                space.routes |= {KernelRoute(destination, nexthop=hop, table=hop) for destination in through}
                space.rules.add(RoutingRule(_CHOSEN_RULE, f"{runtime.inner}/32", hop, mark))
        space.routes |= {KernelRoute(to, kind="unreachable", table=runtime.number) for to in through}
        space.rules.add(RoutingRule(_INNER_RULE, f"{runtime.inner}/32", runtime.number))

    def finish(self) -> None:
        """Write the tables, when everything is attached."""
        space, device = self.space, interface_name(INTERNET)
        for runtime in self.runtimes:
            if runtime.connector is not None:  # answers to the front end do not go through the tunnel
                space.routes |= {
                    KernelRoute(f"{a}/32", port, table=runtime.number) for a, port in self.front_ends.items()
                }
        fronts = space.set_of("hash:ip", self.front_ends)
        runtimes = space.set_of("hash:ip", (runtime.inner for runtime in self.runtimes))
        direct = space.set_of("hash:ip", (runtime.inner for runtime in self.runtimes if runtime.reaches_internet))
        internal = space.set_of("hash:net", map(str, INTERNAL))
        tunnels = space.set_of("hash:ip,port,ip", (f"{a},udp:{RETURN_PORT},{b}" for a, b in self.pairs))
        known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        # Each serverless resource communicates with its own connector only (behaviour 2.1.8).
        inbound = (
            f"-p udp -m set --match-set {tunnels} src,dst,dst -j ACCEPT",
            link_local.answered(runtimes, RETURN),
        )
        forward = (
            known,
            f"-p tcp -m set --match-set {fronts} src -m set --match-set {runtimes} dst -j ACCEPT",
            SHORT_SEGMENTS,
            f"-o {TUNNEL} -m set --match-set {runtimes} src -j ACCEPT",
            f"-o {device} -m set --match-set {direct} src -m set ! --match-set {internal} dst -j ACCEPT",
            *(f"-o {port} -m conntrack --ctstate DNAT -j ACCEPT" for port in sorted(self._name_servers())),
        )
        first, *_, last = (str(address) for address in IPv4Network(self.pool).hosts())
        space.tables += [
            self.wiring.anti_spoofing(space, RETURN),
            self._choices(),
            Table("filter", (Chain("INPUT", "DROP", inbound), Chain("FORWARD", "DROP", forward))),
            _nat(
                [f"-o {device} -m set --match-set {runtimes} src -j SNAT --to-source {first}-{last}"],
                [*self._queries()],
            ),
        ]

    def _choices(self) -> Table:
        """The choice of an instance for each flow, but for what goes to front ends and to the region itself."""
        choices = []
        for end in (end for end in self.connectors.values() if end.healthy):
            senders = self.space.set_of("hash:ip", (r.inner for r in self.runtimes if r.connector == end.name))
            exempt = self.space.set_of("hash:ip", (str(METADATA_SERVER), *self.front_ends))
            choices.append(Choice(end.identifier, senders, exempt, end.healthy))
        return instance_choice.table(choices)

    def _name_servers(self) -> set[str]:
        """The devices that lead to the name server: there is one, if it is there."""
        return {way.device for _, way in self.resolvers.values() if way.device is not None}

    def _queries(self) -> Iterator[str]:
        """Translate what is asked of 169.254.169.254: the address says whose view is wanted."""
        for address in sorted({address for address, _ in self.resolvers.values()}):
            asking = self.space.set_of("hash:ip", (r.inner for r, (its, _) in self.resolvers.items() if its == address))
            yield from dns_interception.translated(address, f"-m set --match-set {asking} src ")


def _nat(post: Iterable[str], pre: Iterable[str] = ()) -> Table:
    return Table(
        "nat",
        (
            *([Chain("PREROUTING", "ACCEPT", tuple(pre))] if pre else []),
            Chain("POSTROUTING", "ACCEPT", tuple(post)),
        ),
    )


def connector_instance(node: Space, connector: ConnectorEnds, runtimes: Iterable[Runtime], limits: Limits) -> None:
    """A connector instance's end: a tunnel to every runtime that uses the connector, forwarding, masquerade."""
    node.sysctls |= {**ROUTER, **connection_tracking.SYSCTLS}
    node.tunnels |= _TUNNELS
    for runtime in runtimes:
        node.nexthops.add(Nexthop(runtime.number, RETURN, connector.identifier, runtime.outer))
        node.routes.add(KernelRoute(f"{runtime.inner}/32", nexthop=runtime.number))
    capacity.shape(node, limits, to_runtimes=RETURN)
    internal = node.set_of("hash:net", map(str, INTERNAL))
    out = f"-i {TUNNEL} -o eth0"
    known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    forward = (
        *capacity.classified(limits, TUNNEL),
        known,
        # ICMP is not supported to internal addresses, though the firewall allows it (behaviour 3.7, 3.7.1: likely).
        f"{out} -p icmp -m set --match-set {internal} dst {drop(ICMP_AT_CONNECTOR)}",
        *capacity.counted(limits, TUNNEL),
        f"{out} -p tcp -j ACCEPT",
        f"{out} -p udp -j ACCEPT",
        f"{out} -p icmp -j ACCEPT",
    )
    inbound = (
        f"-s {OUTER} -i eth0 -p udp -m udp --dport {TUNNEL_PORT} -j ACCEPT",  # first: it is nearly all there is
        "-i lo -j ACCEPT",
        known,
        f"-i eth0 -p tcp -m tcp --dport {HEALTH_PORT} -j ACCEPT",
    )
    node.tables += [
        Table("filter", (Chain("INPUT", "DROP", inbound), Chain("FORWARD", "DROP", forward), *capacity.chains(limits))),
        _nat([f"-s {INNER} -o eth0 -j MASQUERADE"]),
    ]
