"""Compiles one VPC network: its segment, with routes, firewall, Cloud NAT, and what it is joined to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from testbed.fabric import dns_interception, link_local
from testbed.fabric.dropping import drop
from testbed.fabric.firewall import always_blocked, connection_tracking, log_chains
from testbed.fabric.firewall.chains import EGRESS, INGRESS, Nic, chains
from testbed.fabric.firewall.ip_forwarding import RECEIVERS, SENDERS, IpForwarding
from testbed.fabric.firewall.rules import stages
from testbed.fabric.naming import interface_name, set_name
from testbed.fabric.plan import GSO_MAX_SEGS, Chain, KernelRoute, Mark, Table
from testbed.fabric.routing import equal_hops
from testbed.fabric.wiring import DEFAULT, Space, Wiring
from testbed.model.compute.firewall import Firewall
from testbed.model.compute.firewall_policy import NetworkFirewallPolicy
from testbed.model.compute.network import DEFAULT_MTU
from testbed.model.core.ranges import (
    GOOGLE_API_VIPS,
    GOOGLE_APIS,
    INTERNAL,
    METADATA_SERVER,
    SERVERLESS,
    SPECIAL_PATHS,
    gateway,
)
from testbed.model.core.well_known import INTERNET
from testbed.model.drop_causes import NO_EXTERNAL_ADDRESS, NO_TRANSIT, PRIVATE_GOOGLE_ACCESS, PRIVATE_TO_INTERNET
from testbed.model.managed_rules import RETURN_PORT, TUNNEL_PORT

MARKS = 0xFFFF0000
"""The bits of a packet's mark that say which senders with routes of their own it is from."""
_LAST_RESORT = 1 << 20
"""A metric behind every other route."""


_TUNNELLED = tuple(
    f"{end} {SERVERLESS} -p udp -m udp --dport {port} -m conntrack --ctstatus CONFIRMED -j ACCEPT"
    for end, port in (("-s", TUNNEL_PORT), ("-d", RETURN_PORT))
)
"""What a tunnel carries behind its first packet.  It has one direction, so no answer ever makes it established."""
FLOWS = "flows"


def _set_mark(mark: Mark) -> str:
    return f"-j MARK --set-xmark {mark.value:#x}/{mark.mask:#x}"


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
    policies: Sequence[NetworkFirewallPolicy] = ()
    policies_first: bool = False
    """Whether they are tried before the network's own rules (behaviour 4.1.21)."""
    translations: list[Translation] = field(default_factory=list)
    served: set[str] = field(default_factory=set)
    """Addresses of NICs that Cloud NAT gateways translate."""
    google_access: list[str] = field(default_factory=list)
    """Ranges of subnets with Private Google Access."""
    counted: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """The range of each connector and its addresses, whose connections into the network are counted."""
    subnets: list[str] = field(default_factory=list)
    """Its ranges."""
    imported: list[str] = field(default_factory=list)
    """Those of peered networks that it has routes to."""
    transit: list[tuple[str, list[Nic]]] = field(default_factory=list)
    """Destinations of static routes that a peered network imports, with that network's NICs: both may pass through."""
    forwarders: list[tuple[str, Nic]] = field(default_factory=list)
    """Devices of NICs that may send under other addresses than their own, and these."""
    classes: list[tuple[frozenset[str], str | None, Mark]] = field(default_factory=list)
    """Senders with routes of their own: addresses of NICs or the device of a peered network, and the packets' mark."""
    equal_hops: dict[str, int] = field(default_factory=dict)
    """The devices of next hops that flows may be spread over, with the numbers by which marks name them."""

    name_server: tuple[str, str] | None = None
    """The device that leads to the name server, and the address there that stands for this network."""

    @classmethod
    def begin(cls, wiring: Wiring, name: str, mtu: int, subnets: Iterable[str]) -> Vpc:
        """The segment of a network; what a subnet has no NIC for is dropped in silence (behaviour 4.3.7)."""
        space, ranges = wiring.segment(name, loopback=str(METADATA_SERVER)), [*subnets]
        space.routes |= {
            KernelRoute(cidr, metric=_LAST_RESORT, kind="blackhole") for cidr in (*ranges, *map(str, SPECIAL_PATHS))
        }
        space.sysctls |= {**connection_tracking.SYSCTLS, **equal_hops.SYSCTLS}
        return cls(space, wiring, mtu, subnets=ranges)

    def attach(
        self,
        node: Space,
        device: str,
        nic: Nic,
        subnet: str,
        *,
        mtu: int | None = None,
        routes: Iterable[str] = (DEFAULT,),
        forwards: bool = False,
        segments: int = GSO_MAX_SEGS,
    ) -> None:
        """Attach a NIC of a subnet: its next hop is the subnet's gateway address.

        One that `forwards` may send under any address (`canIpForward`).  What it gets has so many `segments` at most.
        """
        self.nics.append(nic)
        port = self.wiring.attach(
            node,
            device,
            self.space,
            nic.address,
            mtu=mtu or self.mtu,
            gateway=str(gateway(subnet)),
            routes=routes,
            forwards=forwards,
            segments=segments,
        )
        if forwards:
            self.forwarders.append((port, nic))

    def join(self, other: Vpc) -> None:
        """Lay the way to a peered network.  What is too large for it is refused by the sender's (behaviour 4.5.7).

        ICMP errors come from routers beyond the peer, too, and conntrack knows what they belong to.
        """
        self.wiring.join(self.space, other.space, mtu=min(self.mtu, other.mtu))
        self.space.answering.add(interface_name(other.space.name))
        other.space.answering.add(interface_name(self.space.name))

    def learn(self, other: Vpc, subnet: str) -> None:
        """Import the route to a subnet of a peered network, but no firewall rules (behaviour 4.1.18)."""
        self.wiring.route(self.space, [subnet], other.space)
        self.imported.append(subnet)

    def peer(self, other: Vpc, mine: Iterable[str], theirs: Iterable[str]) -> None:
        """Exchange subnet routes with another network (behaviour 4.5.2)."""
        self.join(other)
        for cidr in theirs:
            self.learn(other, cidr)
        for cidr in mine:
            other.learn(self, cidr)

    def finish(self) -> None:
        """Write the tables, when everything is attached."""
        google = self.space.set_of("hash:net", map(str, SPECIAL_PATHS))
        # Whatever a NIC may forward, what is Google's is nobody else's, and no other may speak for a connector.
        guarded = (f"-m set --match-set {google} src", f"-d {SERVERLESS}")
        anti_spoofing = self.wiring.anti_spoofing(self.space, then=self._marks(), guarded=guarded)
        kept = [equal_hops.table(self.equal_hops)] if self.equal_hops else []
        self.space.tables += [anti_spoofing, *kept, self._filter(), self._nat()]

    def _marks(self) -> Iterator[str]:
        """Mark the packets of senders with routes of their own; one that forwards is known by its device."""
        forwarders = {nic.address: device for device, nic in self.forwarders}
        by_device = dict.fromkeys(forwarders.values() if self.classes else (), Mark(0, MARKS))
        for addresses, device, mark in self.classes:
            if others := addresses - forwarders.keys():
                yield f"-m set --match-set {self.space.set_of('hash:ip', others)} src {_set_mark(mark)}"
            by_device |= dict.fromkeys(filter(None, (device, *map(forwarders.get, addresses))), mark)
        yield from (f"-i {device} {_set_mark(mark)}" for device, mark in sorted(by_device.items()))

    def _filter(self) -> Table:
        space = self.space
        tried = stages(self.rules, self.policies, before=self.policies_first)
        nics = space.set_of("hash:ip", (nic.address for nic in self.nics))
        forwarding = IpForwarding(space, self.nics, self.forwarders, tried)
        sent, received = f"-m set --match-set {nics} src -j {EGRESS}", f"-m set --match-set {nics} dst -j {INGRESS}"
        if forwarding.needed:
            sent, received = f"-j {SENDERS}", f"-j {RECEIVERS}"
        forward = [
            always_blocked.dhcp(nics, answers=True),
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            *(_TUNNELLED if self.counted else ()),
            "-m conntrack --ctstate INVALID -j DROP",
            *(dns_interception.passing(self.name_server[0]) if self.name_server else ()),
            sent,
            always_blocked.dhcp(nics),
            always_blocked.FROM_INTERNET,
            received,
            *forwarding.passing(),
            *self._transit(),
            *self._google_from_outside(),
            *([dns_interception.asking(self.name_server[0], interface_name(INTERNET))] if self.name_server else []),
            # The receiver is no NIC of this network: the sender must be one, nothing is transitive (behaviour 4.5.4).
            f"-m set ! --match-set {nics} src {drop(NO_TRANSIT)}",
            *self._to_internet(space),
            "-j ACCEPT",
        ]
        return Table(
            "filter",
            (
                Chain("INPUT", "DROP", (link_local.answered(nics),)),
                Chain("FORWARD", "DROP", tuple(forward)),
                *chains(tried, self.nics, space),
                always_blocked.EXTERNAL_PROTOCOLS,
                *log_chains.chains(rule for stage in tried for rule in stage),
                *([log_chains.HANDED_ON] if len(tried) > 1 else ()),
                *(forwarding.chains() if forwarding.needed else ()),
            ),
        )

    def _transit(self) -> Iterator[str]:
        """What a peered network sends by an exported static route, and what comes back by it (behaviour 4.5.3)."""
        for destination, nics in self.transit:
            peers = self.space.set_of("hash:ip", (nic.address for nic in nics))
            to, back = ("" if destination == DEFAULT else f"{side} {destination} " for side in ("-d", "-s"))
            yield f"{to}-m set --match-set {peers} src -j ACCEPT"
            yield f"{back}-m set --match-set {peers} dst -j ACCEPT"

    def _google_from_outside(self) -> Iterator[str]:
        """On-prem hosts reach the VIPs by tunnels, if the network has a way to them (behaviour 4.8.3)."""
        internet, forwarders = interface_name(INTERNET), {device for device, _ in self.forwarders}
        for device in sorted(self.space.anywhere - forwarders - {internet}):
            vips = self.space.set_of("hash:net", map(str, GOOGLE_API_VIPS))
            yield f"-i {device} -o {internet} -m set --match-set {vips} dst -j ACCEPT"

    def _to_internet(self, space: Space) -> Sequence[str]:
        """What leaves by the default internet gateway has a public destination and an external address.

        Google's own addresses can be reached from subnets with Private Google Access, too (behaviour 4.8.1); Cloud NAT
        turns that on for what it serves (recalled).
        """
        device = f"-o {interface_name(INTERNET)}"
        internal = space.set_of("hash:net", map(str, INTERNAL))
        reaching = {*self.served, *(translation.source for translation in self.translations)}
        external = space.set_of("hash:ip", reaching, purpose="external")
        google = space.set_of("hash:net", map(str, GOOGLE_APIS))
        to_google, elsewhere = f"-m set --match-set {google} dst", f"-m set ! --match-set {google} dst"
        access = space.set_of("hash:net", {*self.google_access, *reaching}, purpose="google-access")
        return (
            f"{device} -m set --match-set {internal} dst {drop(PRIVATE_TO_INTERNET)}",
            *always_blocked.TO_INTERNET,
            f"{device} {to_google} -m set ! --match-set {access} src {drop(PRIVATE_GOOGLE_ACCESS)}",
            f"{device} -m set ! --match-set {external} src {elsewhere} {drop(NO_EXTERNAL_ADDRESS)}",
        )

    def _flows(self) -> Iterator[str]:
        """Count the connections that each connector instance opens: the table `nat` sees the first packet of each."""
        for cidr, addresses in self.counted:
            flows = self.space.set_of("hash:ip", addresses, counters=True, purpose=FLOWS)
            yield f"-s {cidr} ! -d {SERVERLESS} -m set --match-set {flows} src"

    def _nat(self) -> Table:
        device = interface_name(INTERNET)
        queries = dns_interception.translated(self.name_server[1]) if self.name_server else ()
        inbound = [
            f"-d {t.external}/32 -i {device} -m comment --comment {t.name} -j DNAT --to-destination {t.source}"
            for t in self.translations
        ]
        outbound = [
            f"-s {t.source}/32 -o {device} -m comment --comment {t.name} -j SNAT --to-source {t.external}"
            for t in self.translations
        ]
        return Table(
            "nat",
            (
                Chain("PREROUTING", "ACCEPT", (*queries, *self._flows(), *inbound)),
                Chain("POSTROUTING", "ACCEPT", tuple(outbound)),
            ),
        )
