"""Assembles namespaces from a few primitives: attach a node to a segment, join two segments.

A *segment* is a routed namespace of ours: the internet, a VPC network, a region's serverless infrastructure, a site.
A node is attached by a veth pair with a /32 address; neither side resolves addresses, because every neighbour is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import MappingProxyType

from testbed.fabric import link_local
from testbed.fabric.dropping import drop
from testbed.fabric.naming import interface_name, set_name
from testbed.fabric.plan import (
    GSO_MAX_SEGS,
    MAIN_TABLE,
    Chain,
    End,
    Interface,
    IpSet,
    KernelRoute,
    Namespace,
    Neighbour,
    Nexthop,
    Qdisc,
    RoutingRule,
    SetType,
    Table,
    Tunnel,
    Veth,
    Vlan,
)
from testbed.model.drop_causes import ANTI_SPOOFING

GATEWAY = "169.254.1.1"
"""The next hop of nodes whose segment has no gateway address of its own."""
DUMMY_GATEWAY = "192.0.0.8"
"""That of nodes in which BGP may be spoken: the dummy address (RFC 7600), which no session can have."""
LEFT, RIGHT = "169.254.0.1", "169.254.0.2"
"""The two ends of a joint between segments; they need no address, only a neighbour entry."""
DEFAULT = "0.0.0.0/0"

ROUTER = MappingProxyType({"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0"})
"""Sysctls of a namespace that forwards.  What may come from where is up to iptables, which counts what it drops."""
POLICY_ROUTED = MappingProxyType({"net.ipv4.conf.all.accept_local": "1"})
"""Sysctls that a segment with policy rules has in addition.  With those the kernel looks up the way back of every
packet, only to see that its source is none of its own addresses: anti-spoofing has seen to that."""


def mac(address: str) -> str:
    """The MAC address of a NIC: 42:01 and the four bytes of its address, as Google's VMs have (recalled)."""
    return ":".join(["42", "01", *(f"{byte:02x}" for byte in IPv4Address(address).packed)])


@dataclass(slots=True)
class Space:
    """A namespace under construction."""

    name: str
    node: bool = False
    loopback: set[str] = field(default_factory=set)
    tunnels: set[Tunnel] = field(default_factory=set)
    vlans: set[Vlan] = field(default_factory=set)
    qdiscs: set[Qdisc] = field(default_factory=set)
    neighbours: set[Neighbour] = field(default_factory=set)
    nexthops: set[Nexthop] = field(default_factory=set)
    routes: set[KernelRoute] = field(default_factory=set)
    rules: set[RoutingRule] = field(default_factory=set)
    sets: set[IpSet] = field(default_factory=set)
    tables: list[Table] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    anywhere: set[str] = field(default_factory=set)
    """Devices by which packets of any source may come in."""
    answering: set[str] = field(default_factory=set)
    """Devices by which ICMP errors of any source may come in: routers behind them have addresses that no route has."""
    next_hops: set[Neighbour] = field(default_factory=set)
    """NICs that are next hops of routes, and may nevertheless send under their own address only."""

    def set_of(self, kind: SetType, members: Iterable[str], *, counters: bool = False, purpose: str = "") -> str:
        """Declare an ipset and return its name.  Sets of equal type, content and purpose are one set.

        Ranges of one address are written as the kernel prints them, without their length.
        """
        content = frozenset(m.removesuffix("/32") for m in members) if kind == "hash:net" else frozenset(members)
        name = set_name(kind, content, counters=counters, purpose=purpose)
        self.sets.add(IpSet(name, kind, content, counters))
        return name

    def frozen(self) -> Namespace:
        """The finished namespace."""
        return Namespace(
            self.name,
            self.node,
            frozenset(self.loopback),
            frozenset(self.tunnels),
            frozenset(self.vlans),
            frozenset(self.qdiscs),
            frozenset(self.neighbours),
            frozenset(self.nexthops),
            frozenset(self.routes),
            frozenset(self.rules),
            frozenset(self.sets),
            tuple(self.tables),
            MappingProxyType(self.sysctls),
        )


class Wiring:
    """The namespaces and veth pairs of a testbed under construction."""

    def __init__(self) -> None:
        self.spaces: dict[str, Space] = {}
        self.veths: set[Veth] = set()

    def segment(self, name: str, loopback: str | None = None) -> Space:
        """A new routed namespace; `loopback` is the source address of the ICMP errors that it sends."""
        space = self.spaces[name] = Space(name, loopback={f"{loopback}/32"} if loopback else set())
        space.sysctls |= ROUTER
        return space

    def node(self, name: str, sysctls: Mapping[str, str] = MappingProxyType({})) -> Space:
        """The namespace of a node; the same one if it is known already."""
        space = self.spaces.setdefault(name, Space(name, node=True))
        space.sysctls |= {"net.ipv4.conf.all.rp_filter": "0", **sysctls}
        return space

    def attach(
        self,
        node: Space,
        device: str,
        segment: Space,
        address: str,
        *,
        mtu: int,
        gateway: str = GATEWAY,
        routes: Iterable[str] = (DEFAULT,),
        forwards: bool = False,
        segments: int = GSO_MAX_SEGS,
    ) -> str:
        """Give a node a NIC on a segment, and `routes` through it.

        What comes in from the NIC must carry its address, unless the node `forwards` what others have sent.  What goes
        to it has so many `segments` at most.
        Returns the name of the segment's device.
        """
        port = interface_name(node.name)
        self.veths.add(
            Veth(
                End(node.name, Interface(device, frozenset({f"{address}/32"}), mac(address), mtu)),
                End(segment.name, Interface(port, frozenset(), mac(gateway), mtu, segments)),
            )
        )
        node.neighbours.add(Neighbour(gateway, mac(gateway), device))
        node.routes |= {KernelRoute(destination, device, gateway) for destination in routes}
        segment.neighbours.add(Neighbour(address, mac(address), port))
        segment.routes.add(KernelRoute(f"{address}/32", port))
        if forwards:
            segment.anywhere.add(port)
        return port

    def join(self, left: Space, right: Space, *, mtu: int, to_right: str | None = None) -> None:
        """Lay a veth pair between two segments.  Each end is named after the other segment, or what that stands for."""
        to_right, to_left = to_right or interface_name(right.name), interface_name(left.name)
        self.veths.add(
            Veth(
                End(left.name, Interface(to_right, frozenset(), mac(LEFT), mtu)),
                End(right.name, Interface(to_left, frozenset(), mac(RIGHT), mtu)),
            )
        )
        left.neighbours.add(Neighbour(RIGHT, mac(RIGHT), to_right))
        right.neighbours.add(Neighbour(LEFT, mac(LEFT), to_left))

    def link(
        self,
        left: tuple[Space, str],
        right: tuple[Space, str],
        *,
        device: str,
        mtu: int,
        over: tuple[str, int] | None = None,
    ) -> None:
        """Lay a veth pair between two nodes; the address of each end has the length of a range that both are in.

        If the link is to go `over` devices of another name, with a tag, those are the pair, and the device is a VLAN.
        """
        ends = []
        for space, address in (left, right):
            interface = Interface(device, frozenset({address}), mac(address.partition("/")[0]), mtu)
            if over is not None:
                parent, tag = over
                space.vlans.add(Vlan(interface, parent, tag))
                interface = Interface(parent, frozenset(), interface.mac, mtu)
            ends.append(End(space.name, interface))
        self.veths.add(Veth(*ends))
        for (space, _), (_, other) in ((left, right), (right, left)):
            address = other.partition("/")[0]
            space.neighbours.add(Neighbour(address, mac(address), device))

    def route(
        self, segment: Space, destinations: Iterable[str], to: Space, *, metric: int = 0, table: int = MAIN_TABLE
    ) -> None:
        """Send what a segment has for some ranges to one that it is joined to, which may use them as sources back."""
        port = interface_name(to.name)
        via = next(n.address for n in segment.neighbours if n.device == port)
        for destination in destinations:
            segment.routes.add(KernelRoute(destination, port, via, metric=metric, table=table))
            if destination == DEFAULT:
                segment.anywhere.add(port)

    def anti_spoofing(
        self, segment: Space, tunnel: str | None = None, then: Iterable[str] = (), guarded: Iterable[str] = ()
    ) -> Table:
        """The raw table of a segment: a packet whose source cannot be behind the device it came in by is dropped.

        The routes know what is behind which device: one of a NIC leads to its address.  They are asked before conntrack
        sees the packet, so nothing that is forged can touch the state of a connection.  A packet pays for every rule
        that it passes, so the exceptions are looked at only when they matter.  A `tunnel` may bring anything.  What is
        not forged goes through the rules `then`.  What is `guarded` gets no exception.  Nor does a caller of the
        metadata server: it is its address that says who it is.
        """
        forged = drop(ANTI_SPOOFING)
        own = sorted(f"! -s {nic.address}/32 -i {nic.device} {forged}" for nic in segment.next_hops)
        others = f"! -i {tunnel} " if tunnel else ""
        asked = (f"-d {link_local.PREFIX}",) if link_local.PREFIX in segment.loopback else ()
        never = (f"{packets} {forged}" for packets in (*asked, *guarded))
        errors = (f"-i {device} -p icmp -m icmp --icmp-type 3 -j RETURN" for device in sorted(segment.answering))
        anywhere = (*never, *(f"-i {device} -j RETURN" for device in sorted(segment.anywhere)), *errors, forged)
        return Table(
            "raw",
            (
                Chain("PREROUTING", "ACCEPT", (*own, f"{others}-m rpfilter --invert -j {ANTI_SPOOFING.id}", *then)),
                Chain(ANTI_SPOOFING.id, None, anywhere),
            ),
        )
