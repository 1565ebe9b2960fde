"""Compiles one VPC network: its segment, with routes, firewall, Cloud NAT, and what it is joined to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from testbed.fabric import blocked, tracking
from testbed.fabric.firewall import EGRESS, INGRESS, Nic, chains
from testbed.fabric.naming import interface_name, set_name
from testbed.fabric.plan import Chain, Route, Table
from testbed.fabric.wiring import DEFAULT, Space, Wiring
from testbed.model.firewall import Firewall
from testbed.model.names import INTERNET
from testbed.model.network import DEFAULT_MTU
from testbed.model.ranges import GOOGLE_APIS, INTERNAL, METADATA_SERVER, SERVERLESS, gateway

_IMPORTED = 1 << 18
"""What is added to the metric of an imported static route: it comes behind every route of the network's own."""
_LAST_RESORT = 1 << 20
"""A metric behind every route of a user."""


def route_metric(priority: int) -> int:
    """The metric of a static route with a priority: subnet routes have 0 and cannot be beaten (behaviour 4.3.2).

    That of a dynamic route is one more: it comes after static ones of equal priority.
    """
    return 1 + 2 * priority


FLOWS = "flows"


def flow_counters(addresses: Iterable[str]) -> str:
    """The name of the ipset that counts the connections that a connector's addresses open."""
    return set_name("hash:ip", frozenset(addresses), counters=True, purpose=FLOWS)


@dataclass(slots=True)
class Translation:
    """A NIC with an external address of its own."""

    name: str
    source: str
    external: str


@dataclass(slots=True)
class Vpc:
    """A VPC network under construction."""

    space: Space
    wiring: Wiring
    mtu: int = DEFAULT_MTU
    nics: list[Nic] = field(default_factory=list)
    rules: list[Firewall] = field(default_factory=list)
    translations: list[Translation] = field(default_factory=list)
    served: set[str] = field(default_factory=set)
    """Addresses of NICs that Cloud NAT gateways translate."""
    google_access: list[str] = field(default_factory=list)
    """Ranges of subnets with Private Google Access."""
    counted: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """The range of each connector and its addresses, whose connections into the network are counted."""
    transit: list[tuple[str, list[Nic]]] = field(default_factory=list)
    """Destinations of static routes that a peered network imports, with that network's NICs: both may pass through."""

    @classmethod
    def begin(cls, wiring: Wiring, name: str, mtu: int, subnets: Iterable[str]) -> Vpc:
        """The segment of a network; what a subnet has no NIC for is dropped in silence (behaviour 4.3.7)."""
        space = wiring.segment(name, loopback=str(METADATA_SERVER))
        space.sysctls |= tracking.SYSCTLS
        space.routes |= {Route(cidr, metric=_LAST_RESORT, kind="blackhole") for cidr in subnets}
        space.routes.add(Route(str(SERVERLESS), metric=_LAST_RESORT, kind="blackhole"))
        return cls(space, wiring, mtu)

    def attach(
        self, node: Space, device: str, nic: Nic, subnet: str, *, mtu: int | None = None,
        routes: Iterable[str] = (DEFAULT,),
    ) -> None:  # fmt: skip
        """Attach a NIC of a subnet: its next hop is the subnet's gateway address."""
        self.nics.append(nic)
        self.wiring.attach(
            node, device, self.space, nic.address, mtu=mtu or self.mtu, gateway=str(gateway(subnet)), routes=routes
        )  # fmt: skip

    def join(self, other: Vpc) -> None:
        """Lay the way to a peered network."""
        self.wiring.join(self.space, other.space, mtu=max(self.mtu, other.mtu))

    def learn(self, other: Vpc, destination: str, custom: int | None = None) -> None:
        """Import a route of a peered network, but no firewall rules (behaviour 4.1.18).

        A static one has a priority (`custom`), and comes after all of this network's own (behaviour 4.3.5, recalled).
        """
        if custom is None:
            self.wiring.route(self.space, [destination], other.space)
        else:
            self.wiring.route(self.space, [destination], other.space, metric=_IMPORTED + route_metric(custom))
            other.transit.append((destination, self.nics))

    def peer(self, other: Vpc, mine: Iterable[str], theirs: Iterable[str]) -> None:
        """Exchange subnet routes with another network (behaviour 4.5.2)."""
        self.join(other)
        for cidr in theirs:
            self.learn(other, cidr)
        for cidr in mine:
            other.learn(self, cidr)

    def finish(self) -> None:
        """Write the tables, when everything is attached."""
        self.space.tables += [self.wiring.anti_spoofing(self.space), self._filter(), self._nat()]

    def _filter(self) -> Table:
        space = self.space
        tried = chains(self.rules, self.nics, space)
        nics = space.set_of("hash:ip", (nic.address for nic in self.nics))
        forward = [
            blocked.dhcp(nics, answers=True),
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-m conntrack --ctstate INVALID -j DROP",
            f"-m set --match-set {nics} src -j {EGRESS}",
            blocked.dhcp(nics),
            blocked.FROM_INTERNET,
            f"-m set --match-set {nics} dst -j {INGRESS}",
            *self._transit(),
            # The receiver is no NIC of this network: the sender must be one, nothing is transitive (behaviour 4.5.4).
            f"-m set ! --match-set {nics} src -m comment --comment no-transit -j DROP",
            *self._to_internet(space),
            "-j ACCEPT",
        ]
        return Table("filter", (
            Chain("INPUT", "DROP"), Chain("FORWARD", "DROP", tuple(forward)), *tried, blocked.EXTERNAL_PROTOCOLS,
        ))  # fmt: skip

    def _transit(self) -> Iterator[str]:
        """What a peered network sends by an exported static route, and what comes back by it (behaviour 4.5.3)."""
        for destination, nics in self.transit:
            peers = self.space.set_of("hash:ip", (nic.address for nic in nics))
            to, back = ("" if destination == DEFAULT else f"{side} {destination} " for side in ("-d", "-s"))
            yield f"{to}-m set --match-set {peers} src -j ACCEPT"
            yield f"{back}-m set --match-set {peers} dst -j ACCEPT"

    def _to_internet(self, space: Space) -> Sequence[str]:
        """What leaves by the default internet gateway has a public destination and an external address.

        Google's own addresses can be reached from subnets with Private Google Access, too (behaviour 4.8.1); Cloud NAT
        turns that on for what it serves (recalled).
        """
        device = f"-o {interface_name(INTERNET)}"
        internal = space.set_of("hash:net", map(str, INTERNAL))
        reaching = {*self.served, *(translation.source for translation in self.translations)}
        external = space.set_of("hash:ip", reaching, purpose="external")
        google = space.set_of("hash:net", (str(cidr).removesuffix("/32") for cidr in GOOGLE_APIS))
        access = space.set_of("hash:net", {*self.google_access, *reaching}, purpose="google-access")
        drops = {
            "private-google-access-disallowed": f"-m set --match-set {google} dst -m set ! --match-set {access} src",
            "no-external-address": f"-m set ! --match-set {external} src -m set ! --match-set {google} dst",
        }
        return (
            f"{device} -m set --match-set {internal} dst -m comment --comment private-traffic-to-internet -j DROP",
            *blocked.TO_INTERNET,
            *(f"{device} {packets} -m comment --comment {cause} -j DROP" for cause, packets in drops.items()),
        )

    def _flows(self) -> Iterator[str]:
        """Count the connections that each connector instance opens: the table `nat` sees the first packet of each."""
        for cidr, addresses in self.counted:
            flows = self.space.set_of("hash:ip", addresses, counters=True, purpose=FLOWS)
            yield f"-s {cidr} ! -d {SERVERLESS} -m set --match-set {flows} src"

    def _nat(self) -> Table:
        device = interface_name(INTERNET)
        inbound = [
            f"-d {t.external}/32 -i {device} -m comment --comment {t.name} -j DNAT --to-destination {t.source}"
            for t in self.translations
        ]
        outbound = [
            f"-s {t.source}/32 -o {device} -m comment --comment {t.name} -j SNAT --to-source {t.external}"
            for t in self.translations
        ]
        return Table("nat", (
            Chain("PREROUTING", "ACCEPT", (*self._flows(), *inbound)), Chain("POSTROUTING", "ACCEPT", tuple(outbound)),
        ))  # fmt: skip
