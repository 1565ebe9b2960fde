"""Compiles VPC firewall rules to iptables chains and ipsets.

A rule becomes one iptables rule per protocol (and per fifteen ports), never one per VM: targets and sources are sets of
addresses, and since a NIC cannot spoof, an address identifies it.  The comment carries the rule's name, so that the hit
counters do.  The chains are walked once per connection: what conntrack knows has been accepted before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from testbed.fabric.plan import Chain
from testbed.fabric.wiring import Space
from testbed.model.firewall import PROTOCOL_NUMBERS, Firewall, Match

EGRESS, INGRESS = "egress", "ingress"
IMPLIED_EGRESS, IMPLIED_INGRESS = "implied-allow-egress", "implied-deny-ingress"
"""The implied rules, at the end of everything (behaviour 4.1.7)."""

_EVERYTHING = "0.0.0.0/0"
_PORTS_PER_RULE = 15
"""What the multiport match takes; a range counts as two."""
_NAMES = {
    1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 17: "udp", 41: "ipv6", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah",
    58: "ipv6-icmp", 88: "eigrp", 89: "ospf", 94: "ipip", 103: "pim", 112: "vrrp", 115: "l2tp", 132: "sctp",
    136: "udplite", 137: "mpls-in-ip",
}  # fmt: skip
"""Protocols that iptables prints by name even if given by number: the current ones of Debian's /etc/protocols.

Its `ipip` is not Google's, which is number 4."""


@dataclass(frozen=True, slots=True)
class Nic:
    """What a firewall rule can know of a NIC."""

    address: str
    tags: frozenset[str] = frozenset()
    service_accounts: frozenset[str] = field(default_factory=frozenset)
    is_source: bool = True
    """Whether source tags mean it.  Of Direct VPC egress Google calls that undefined: they do not (behaviour 7.2)."""


def order(rules: Iterable[Firewall]) -> list[Firewall]:
    """The rules in the order in which they are tried: by priority, deny before allow (behaviour 4.1.5, 4.1.6).

    Disabled rules are left out: the network behaves as if they did not exist (behaviour 4.1.14).
    """
    return sorted((r for r in rules if not r.disabled), key=lambda r: (r.priority, r.allows, r.name))


def chains(rules: Iterable[Firewall], nics: Sequence[Nic], space: Space) -> tuple[Chain, Chain]:
    """The egress chain (tried for the sender's NIC) and the ingress chain (for the receiver's).

    A packet that the egress chain allows returns to the caller; one that the ingress chain allows is accepted.
    """
    ordered = order(rules)
    egress = [line for rule in ordered if rule.direction == "EGRESS" for line in _lines(rule, nics, space)]
    ingress = [line for rule in ordered if rule.direction == "INGRESS" for line in _lines(rule, nics, space)]
    return (
        Chain(EGRESS, None, (*egress, f"-m comment --comment {IMPLIED_EGRESS} -j RETURN")),
        Chain(INGRESS, None, (*ingress, f"-m comment --comment {IMPLIED_INGRESS} -j DROP")),
    )


def _lines(rule: Firewall, nics: Sequence[Nic], space: Space) -> Iterator[str]:
    """The iptables rules of one firewall rule."""
    inbound = rule.direction == "INGRESS"
    matches = [
        *_targets(rule, nics, space, "dst" if inbound else "src"),
        *_peers(_sources(rule, nics), space, "src"),
        *_peers(rule.destination_ranges, space, "dst"),
    ]
    verdict = ("ACCEPT" if inbound else "RETURN") if rule.allows else "DROP"
    for match in rule.allowed or rule.denied:
        for protocol in _protocols(match):
            yield " ".join([*protocol, *matches, f"-m comment --comment {rule.name}", f"-j {verdict}"])


def _targets(rule: Firewall, nics: Sequence[Nic], space: Space, side: str) -> Iterator[str]:
    """Which NICs the rule is for; without targets all of them (behaviour 4.1.12)."""
    if rule.target_tags or rule.target_service_accounts:
        members = {nic.address for nic in nics if rule.is_for(nic.tags, nic.service_accounts)}
        yield f"-m set --match-set {space.set_of('hash:ip', members)} {side}"


def _sources(rule: Firewall, nics: Sequence[Nic]) -> tuple[str, ...]:
    """Source ranges, and addresses of NICs with a source tag or account: either will do (behaviour 4.1.10, 4.1.11)."""
    tags, accounts = set(rule.source_tags), set(rule.source_service_accounts)
    tagged = {
        f"{nic.address}/32" for nic in nics
        if nic.is_source and (tags & nic.tags or accounts & nic.service_accounts)
    }  # fmt: skip
    if (tags or accounts) and not rule.source_ranges and not tagged:
        return ("255.255.255.255/32",)  # nobody has the tag: a source that no packet has
    return (*rule.source_ranges, *sorted(tagged))


def _peers(ranges: Sequence[str], space: Space, side: str) -> Iterator[str]:
    if ranges and _EVERYTHING not in ranges:
        members = {cidr.removesuffix("/32") for cidr in ranges}
        yield f"-m set --match-set {space.set_of('hash:net', members)} {side}"


def _protocols(match: Match) -> Iterator[list[str]]:
    if match.ip_protocol == "all":
        yield []
        return
    number = PROTOCOL_NUMBERS.get(match.ip_protocol) or int(match.ip_protocol)
    protocol = _NAMES.get(number, number)
    if not match.ports:
        yield [f"-p {protocol}"]
        return
    for ports in _portions(match.ports):
        yield [f"-p {protocol}", f"-m multiport --dports {','.join(ports)}"]


def _portions(ports: Sequence[str]) -> Iterator[list[str]]:
    """Ports in portions that one multiport match can take."""
    portion: list[str] = []
    used = 0
    for port in ports:
        low, *rest = (int(number) for number in port.split("-"))
        high = rest[0] if rest else low
        text, cost = (f"{low}:{high}", 2) if high > low else (f"{low}", 1)
        if used + cost > _PORTS_PER_RULE:
            yield portion
            portion, used = [], 0
        portion.append(text)
        used += cost
    yield portion
