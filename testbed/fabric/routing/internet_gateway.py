"""Compiles a network's edge: what is behind its default internet gateway.

    vpc ── edge ──┬── internet            instances with an external address of their own
                  └── nat-... ── internet one namespace per Cloud NAT gateway

The edge has no state and translates nothing: the network has done so for instances with external addresses, and each
NAT gateway does it for the subnets that it serves, in a namespace of its own, so that its time-outs, its connections
and what it has dropped are its own.  Google's APIs are in the edge itself: sockets of the control plane listen there,
and see the caller's internal address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.allocation.cloud_nat import Block, Gateway
from testbed.fabric.dropping import drop
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import Chain, RoutingRule, Table
from testbed.fabric.vpc import Vpc
from testbed.fabric.wiring import DEFAULT, GATEWAY, POLICY_ROUTED, Space, Wiring
from testbed.model.compute.router import RouterNat
from testbed.model.core.ranges import GOOGLE_APIS, INTERNAL, PUBLIC_GOOGLE_API
from testbed.model.core.well_known import INTERNET
from testbed.model.drop_causes import NO_GOOGLE_API, OUT_OF_RESOURCES

"""Begins the comment of the rule that drops what has no ports; the gateway's name follows."""
PUBLIC_APIS = (
    f"-d {PUBLIC_GOOGLE_API}/32 -p tcp -m multiport --dports 80,443 -j ACCEPT",
    f"-d {PUBLIC_GOOGLE_API}/32 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
    f"-d {PUBLIC_GOOGLE_API}/32 -p udp -j DROP",
    f"-d {PUBLIC_GOOGLE_API}/32 -p icmp -m icmp --icmp-type 8 -j DROP",
)
"""Of the internet segment: nothing else is served there.  Answers come in, to who calls a service from that address."""
_UNREACHABLE = "-p icmp -m icmp --icmp-type 3 -j ACCEPT"
"""What a server has to be told: of a packet that was too large for a tunnel, for one."""
_LINK_MTU = 1500
_FIRST_TABLE = 100
_LEAF = 16
"""NICs that one chain may have rules for; more are told apart by their prefix first, four bits at a time."""
_TRANSLATED = ("tcp", "udp", "icmp")


@dataclass(slots=True)
class Edge:
    """The edge of a network, under construction."""

    space: Space
    vpc: Vpc
    wiring: Wiring
    internet: Space
    gateways: list[Gateway] = field(default_factory=list)

    @classmethod
    def begin(cls, wiring: Wiring, name: str, vpc: Vpc, internet: Space, ranges: Sequence[str]) -> Edge:
        """Lay the ways between a network, whose subnets have these ranges, and the internet."""
        space = wiring.segment(name)
        space.loopback |= {str(cidr) for cidr in GOOGLE_APIS}
        wiring.join(vpc.space, space, mtu=_LINK_MTU, to_right=INTERNET)
        vpc.space.anywhere.add(INTERNET)
        wiring.join(space, internet, mtu=_LINK_MTU)
        wiring.route(space, [DEFAULT], internet)
        external = [f"{translation.external}/32" for translation in vpc.translations]
        wiring.route(space, [*map(str, INTERNAL), *ranges, *external], vpc.space)
        wiring.route(internet, external, space)
        return cls(space, vpc, wiring, internet)

    def translate(self, gateway: Gateway, name: str) -> None:
        """Attach a NAT gateway.  Its NICs are those of the network that have no external address (behaviour 4.13.1)."""
        vpc, wiring = self.vpc, self.wiring
        taken = {translation.source for translation in vpc.translations}
        nics = [n.address for n in vpc.nics if gateway.serves(n.address) and n.address not in taken]
        vpc.served |= set(nics)
        space = wiring.segment(name, loopback=GATEWAY)
        wiring.join(self.space, space, mtu=_LINK_MTU)
        wiring.join(space, self.internet, mtu=_LINK_MTU)
        wiring.route(space, [DEFAULT], self.internet)
        wiring.route(space, map(str, gateway.ranges), self.space)
        wiring.route(self.internet, [f"{address}/32" for address in gateway.externals], space)
        table = _FIRST_TABLE + len(self.gateways)
        wiring.route(self.space, [DEFAULT], space, table=table)
        self.space.rules |= {RoutingRule(table, str(cidr), table) for cidr in gateway.ranges}
        self.gateways.append(gateway)
        space.sysctls |= timeouts(gateway.nat)
        _translation(space, interface_name(self.space.name), gateway, gateway.blocks(nics))

    def finish(self) -> None:
        """Write the tables: packets that the network lets through reach Google's APIs, and nothing else of the edge."""
        space = self.space
        space.sysctls |= POLICY_ROUTED
        apis = space.set_of("hash:net", map(str, GOOGLE_APIS))
        inside = f"-i {interface_name(self.vpc.space.name)}"
        space.tables.append(
            Table(
                "filter",
                (
                    Chain(
                        "INPUT",
                        "DROP",
                        (
                            f"{inside} -p tcp -m multiport --dports 80,443 -m set --match-set {apis} dst -j ACCEPT",
                            _UNREACHABLE,
                            f"-m set --match-set {apis} dst {drop(NO_GOOGLE_API)}",
                        ),
                    ),
                ),
            )
        )


def timeouts(nat: RouterNat) -> Mapping[str, str]:
    """A gateway's time-outs as sysctls of its namespace (behaviour 4.13.4).

    Transitory connections are those that are half open and those that are being closed.
    """
    transitory = ("syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack", "close")
    seconds = {
        "udp_timeout": nat.udp_idle_timeout_sec,
        "udp_timeout_stream": nat.udp_idle_timeout_sec,
        "icmp_timeout": nat.icmp_idle_timeout_sec,
        "tcp_timeout_established": nat.tcp_established_idle_timeout_sec,
        "tcp_timeout_time_wait": nat.tcp_time_wait_timeout_sec,
        **{f"tcp_timeout_{state}": nat.tcp_transitory_idle_timeout_sec for state in transitory},
    }
    return {f"net.netfilter.nf_conntrack_{name}": str(value) for name, value in seconds.items()}


def _translation(space: Space, inside: str, gateway: Gateway, blocks: Mapping[str, Block]) -> None:
    """A gateway's tables.

    A NIC that has no ports is refused by a rule.  One whose ports are all in use for a destination gets no further
    than its rule here: the kernel finds no port and drops the packet (`insert_failed` of the namespace's conntrack).
    """
    having = space.set_of("hash:ip", blocks)
    without = f"-m set ! --match-set {having} src {drop(OUT_OF_RESOURCES, gateway.name)}"
    forward = (
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-i {inside} {without}",
        *(f"-i {inside} -p {protocol} -j ACCEPT" for protocol in _TRANSLATED),
    )
    space.tables += [
        Table("filter", (Chain("INPUT", "DROP"), Chain("FORWARD", "DROP", forward))),
        Table(
            "nat",
            (
                Chain("POSTROUTING", "ACCEPT", tuple(f"-o {INTERNET} -p {p} -j {p}" for p in _TRANSLATED)),
                *(chain for protocol in _TRANSLATED for chain in _chains(gateway.name, protocol, blocks)),
            ),
        ),
    ]


def _chains(name: str, protocol: str, blocks: Mapping[str, Block]) -> Iterator[Chain]:
    """A rule per NIC, since no target of iptables takes ports from a set; but none is looked at after a few others.

    Only the first packet of a connection comes here.
    """

    def line(address: str) -> str:
        block = blocks[address]
        to = f"{block.external}:{block.first}-{block.last}"
        return f"-s {address}/32 -p {protocol} -m comment --comment {name} -j SNAT --to-source {to}"

    def split(chain: str, addresses: Sequence[str], prefix: int) -> Iterator[Chain]:
        if len(addresses) <= _LEAF:
            yield Chain(chain, None, tuple(map(line, addresses)))
            return
        parts: dict[IPv4Network, list[str]] = {}
        for address in addresses:
            parts.setdefault(IPv4Network((address, prefix), strict=False), []).append(address)
        if len(parts) == 1:
            yield from split(chain, addresses, prefix + 4)
            return
        names = {cidr: f"{protocol}-{int(cidr.network_address):08x}-{prefix}" for cidr in parts}
        yield Chain(chain, None, tuple(f"-s {cidr} -j {names[cidr]}" for cidr in parts))
        for cidr, inside in parts.items():
            yield from split(names[cidr], inside, prefix + 4)

    return split(protocol, sorted(blocks, key=IPv4Address), 8)
