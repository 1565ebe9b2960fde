"""The desired state of one testbed, as plain values.

The compiler writes a `Plan`; the kernel package makes it true; nothing in here performs I/O.  Every value is frozen and
hashable, so that a difference between what should be and what is there is a difference between two sets.

All addresses are IPv4 in text form.  An *address* is `10.8.0.2`, a *prefix* is `10.8.0.0/28`; a host route is a prefix
of length 32.  Interface names obey the kernel's limit of 15 characters.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

LOOPBACK = "lo"
GSO_MAX_SEGS = 65535
"""What the kernel gives a device that is told nothing else (linux/netdevice.h)."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network device inside one namespace.

    `mac` and `mtu` are None for devices whose values are the kernel's business (the loopback device; a layer-3 tunnel
    has no MAC address).
    """

    name: str
    addresses: frozenset[str] = frozenset()
    """Prefixes, as `ip address add` takes them: `10.8.0.2/32`."""
    mac: str | None = None
    mtu: int | None = None
    gso_max_segs: int = GSO_MAX_SEGS
    """How many segments a packet may have that is cut only behind the device (ip-link(8)); 1: none is left whole."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A VXLAN-GPE device in external (collect-metadata) mode: routes and nexthops say where each packet goes.

    The port is that of both ends, so that a stateful firewall on the way sees one connection in both directions.
    """

    interface: Interface
    port: int


@dataclass(frozen=True, slots=True)
class Vlan:
    """A VLAN device (IEEE 802.1Q): it sends by its parent, with a tag, and has what comes in there with that tag."""

    interface: Interface
    parent: str
    """The device that it is on, one end of a veth pair of the plan."""
    tag: int
    """1 to 4094."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a veth pair: an interface in a namespace of the plan."""

    namespace: str
    interface: Interface


@dataclass(frozen=True, slots=True)
class Veth:
    """A veth pair between two namespaces of the plan."""

    a: End
    b: End


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent ARP entry, so that no address ever has to be resolved on the wire."""

    address: str
    mac: str
    device: str


@dataclass(frozen=True, slots=True)
class Nexthop:
    """A nexthop object (ip-nexthop(8)) that encapsulates into a tunnel: IP encapsulation with a network identifier."""

    id: int
    device: str
    encap_id: int
    encap_destination: str
    encap_source: str | None = None
    """The outer source address; the kernel's choice if None."""


RouteKind = Literal["unicast", "blackhole", "unreachable", "prohibit", "throw"]
MAIN_TABLE = 254


@dataclass(frozen=True, slots=True)
class Hop:
    """One of several next hops of a route: a device, and a gateway that is taken as on-link."""

    device: str
    gateway: str


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """One IPv4 route.

    A unicast one has a device (and maybe a gateway, taken as on-link), a nexthop object's id, or several next hops that
    flows are spread over.  One that throws ends the search in its table, and the next rule is tried.
    """

    destination: str
    device: str | None = None
    gateway: str | None = None
    nexthop: int | None = None
    source: str | None = None
    """Preferred source address of packets that start here."""
    metric: int = 0
    table: int = MAIN_TABLE
    kind: RouteKind = "unicast"
    hops: frozenset[Hop] = frozenset()
    """Two or more, all of equal weight (ECMP)."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Some bits of a packet's mark, and what they are."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A routing policy rule (ip-rule(8)): packets from this source prefix, with this mark, look in this table first."""

    priority: int
    source: str
    table: int
    mark: Mark | None = None


SetType = Literal["hash:ip", "hash:net", "hash:ip,port,ip", "hash:ip,port", "bitmap:port"]


@dataclass(frozen=True, slots=True)
class IpSet:
    """An ipset.  The name is derived from the content, so a set never changes: new content is a new set.

    Sets with counters (`counters=True`) count the packets and bytes that matched each member.
    """

    name: str
    type: SetType
    members: frozenset[str]
    counters: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """One iptables chain.  A built-in chain has a policy, one of ours has None.

    Each rule is written exactly as `iptables-save` prints it after `-A CHAIN `: then what is read back from the kernel
    can be compared with it letter by letter.
    """

    name: str
    policy: Literal["ACCEPT", "DROP"] | None
    rules: tuple[str, ...] = ()


PART = "/"
"""What separates, in the name of a chain, the chain that it is a part of from what tells the parts apart."""


def whole(chain: str) -> str:
    """The chain that a chain is a part of; itself, if it is none.  `ingress/3` is a part of `ingress`."""
    return chain.partition(PART)[0]


@dataclass(frozen=True, slots=True)
class Table:
    """One iptables table (`filter`, `nat`, `mangle`, `raw`), replaced atomically as a whole."""

    name: str
    chains: tuple[Chain, ...]


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """How much may pass: a packet takes tokens, and waits until there are enough (tc-tbf(8), tc-htb(8))."""

    rate: int
    """Bytes per second that tokens come for; less than 2^32."""
    burst: int
    """Bytes that tokens are kept for.  A multiple of 1024: the kernel keeps a time instead, and rounds it."""
    mpu: int = 0
    """The minimum packet unit, in bytes: a smaller packet takes as many tokens as one of this size."""
    peak: int | None = None
    """Bytes per second at most, however many tokens there are; None for no such limit."""


@dataclass(frozen=True, slots=True)
class Tbf:
    """A device all of whose packets pass one token bucket."""

    device: str
    bucket: TokenBucket
    queue: int
    """Bytes of packets that may wait; what does not fit is dropped (tc-bfifo(8))."""


@dataclass(frozen=True, slots=True)
class HtbClass:
    """Packets that a rule of iptables gives to a class of a device (`-j CLASSIFY`)."""

    minor: int
    """Its number, from 1."""
    bucket: TokenBucket
    queue: int
    """Bytes, as of a `Tbf`."""


@dataclass(frozen=True, slots=True)
class Htb:
    """A device with classes; a packet that is in none of them is not held up."""

    device: str
    classes: frozenset[HtbClass]


Qdisc = Tbf | Htb
"""The queueing discipline of a device; one without has that of the kernel."""
QDISC = 0x7462
"""The number of a queueing discipline of ours, "tb", by which it is known to be ours."""


def class_id(minor: int) -> str:
    """A class as iptables-save prints it: `7462:0001`."""
    return f"{QDISC:04x}:{minor:04x}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The network state of one namespace, apart from its veth devices (they belong to two namespaces: `Plan.veths`)."""

    name: str
    node: bool = False
    """True if the namespace is that of a node (the node driver makes it); False if the kernel package makes it."""
    loopback: frozenset[str] = frozenset()
    """Prefixes on the loopback device, in addition to 127.0.0.1/8."""
    tunnels: frozenset[Tunnel] = frozenset()
    vlans: frozenset[Vlan] = frozenset()
    qdiscs: frozenset[Qdisc] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    nexthops: frozenset[Nexthop] = frozenset()
    routes: frozenset[KernelRoute] = frozenset()
    rules: frozenset[RoutingRule] = frozenset()
    sets: frozenset[IpSet] = frozenset()
    tables: tuple[Table, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Dotted sysctl names below `net.` to values."""


INFRASTRUCTURE_CORES = 8.0
"""What carries the packets of others comes before these: Google's networks do not share processors with VMs."""


@dataclass(frozen=True, slots=True)
class Node:
    """One container.  Its network is none of Docker's business: the plan wires it."""

    name: str
    kind: str
    """What it stands for, in the field's terms: `cloud-run`, `vm`, `connector-instance`, `redis`, ..."""
    image: str
    """A built-in image's name (`testbed/vm`) or an image that the local Docker engine has."""
    command: tuple[str, ...] = ()
    """Replaces the image's command where it is not empty."""
    entrypoint: tuple[str, ...] = ()
    """Replaces the image's entry point, and its command, where it is not empty."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Environment variables whose values nobody else may see; the image must have /bin/sh."""
    source: str | None = None
    """A folder of the host that is copied to /workspace before the node starts."""
    capabilities: tuple[str, ...] = ()
    root: bool = False
    """Whether its root, user 0, has the capabilities; else only the first process has them, and nobody gains any."""
    devices: tuple[str, ...] = ()
    memory: int = 512 << 20
    """Bytes that it may take at most."""
    disk: int = 1 << 30
    """Bytes that its files may take at most, beyond those of its image."""
    cores: float = 1.0
    """Its share of the processors where there are too few, in proportion to the others'."""
    role: str | None = None
    """The Ansible role that configures the node (playbooks/roles)."""
    variables: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The role's variables; they may be secret, so they never reach a command line, a log or the environment."""
    hosts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names for /etc/hosts: name to address."""
    is_client: bool = False
    """Whether programs in it call Google's APIs: then it trusts the testbed's CA."""
    search: tuple[str, ...] | None = None
    """The search domains of its resolver, which asks 169.254.169.254; None if it knows no name server."""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What a program of the node serves: path to content.  It is there at the node's start, and may change."""
    reload: tuple[str, ...] = ()
    """The command that puts new files, written beside the old ones as PATH.new, in their place and makes the program
    read them; it ends when that is done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one testbed should be."""

    testbed: str
    namespaces: tuple[Namespace, ...]
    veths: tuple[Veth, ...]
    nodes: tuple[Node, ...]

    def with_nodes(self, present: Container[str]) -> Plan:
        """The part of the plan that can be made while only these nodes run."""
        spaces = [space for space in self.namespaces if not space.node or space.name in present]
        names = {space.name for space in spaces}
        veths = tuple(veth for veth in self.veths if {veth.a.namespace, veth.b.namespace} <= names)
        ends = (end for veth in set(self.veths) - set(veths) for end in (veth.a, veth.b))
        missing = frozenset((end.namespace, end.interface.name) for end in ends)
        return Plan(
            self.testbed,
            tuple(_without(space, missing) for space in spaces),
            veths,
            tuple(node for node in self.nodes if node.name in present),
        )


def _without(space: Namespace, missing: frozenset[tuple[str, str]]) -> Namespace:
    """A namespace without what hangs on devices that are missing."""
    vlans = frozenset(vlan for vlan in space.vlans if (space.name, vlan.parent) not in missing)
    gone = missing | {(space.name, vlan.interface.name) for vlan in space.vlans - vlans}

    def there(device: str | None) -> bool:
        return (space.name, device) not in gone

    reduced = (_over(route, frozenset(hop for hop in route.hops if there(hop.device))) for route in space.routes)
    return replace(
        space,
        vlans=vlans,
        qdiscs=frozenset(qdisc for qdisc in space.qdiscs if there(qdisc.device)),
        neighbours=frozenset(neighbour for neighbour in space.neighbours if there(neighbour.device)),
        routes=frozenset(route for route in reduced if route is not None and there(route.device)),
    )


def _over(route: KernelRoute, hops: frozenset[Hop]) -> KernelRoute | None:
    """A route with those of its next hops that are there; None if none is."""
    return route if hops == route.hops else over(route, hops) if hops else None


def over(route: KernelRoute, hops: frozenset[Hop]) -> KernelRoute:
    """A route by way of one next hop or of several."""
    if len(hops) > 1:
        return replace(route, device=None, gateway=None, hops=hops)
    (hop,) = hops
    return replace(route, device=hop.device, gateway=hop.gateway, hops=frozenset())
