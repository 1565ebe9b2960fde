"""Compiles VPC firewall rules to iptables chains and ipsets.

A rule becomes one iptables rule per protocol (and per fifteen ports), never one per VM: targets and sources are sets of
addresses, and since a NIC cannot spoof, an address identifies it.  The comment carries the rule's name, so that the hit
counters do.  The chains are walked once per connection: what conntrack knows has been accepted before.  Many rules
become a decision tree (`decision_tree`), in which the same rule is found.

Where there are stages (`rules`), each has a chain of its own, `egress/s0`, from which a packet comes back that goes on
to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from testbed.fabric.dropping import drop
from testbed.fabric.firewall import log_chains, matches
from testbed.fabric.firewall.decision_tree import Limits, Line, arrange
from testbed.fabric.firewall.rules import Rule, Stage
from testbed.fabric.inventory import Participant
from testbed.fabric.plan import PART, Chain
from testbed.fabric.wiring import Space
from testbed.model.compute.firewall import PROTOCOL_NUMBERS, Match
from testbed.model.drop_causes import IMPLIED_DENY_INGRESS

EGRESS, INGRESS = "egress", "ingress"
IMPLIED_EGRESS = "implied-allow-egress"
"""The implied rules, at the end of everything (behaviour 4.1.7)."""

_IMPLIED = {
    EGRESS: f"{matches.comment(IMPLIED_EGRESS)} -j RETURN",
    INGRESS: drop(IMPLIED_DENY_INGRESS),
}
_EVERYTHING = "0.0.0.0/0"
_MARK = "0x1"


@dataclass(frozen=True, slots=True)
class Nic:
    """What a firewall rule can know of a NIC."""

    address: str
    tags: frozenset[str] = frozenset()
    service_accounts: frozenset[str] = field(default_factory=frozenset)
    region: str = ""

    @classmethod
    def of(cls, one: Participant) -> Self:
        """The NIC of a participant in a network."""
        return cls(one.address, one.tags, one.service_accounts, one.region)

    def is_target(self, rule: Rule) -> bool:
        """Whether a rule is for this NIC."""
        return rule.is_for(self.tags, self.service_accounts, self.region)


def chains(
    stages: Sequence[Stage], nics: Sequence[Nic], space: Space, limits: Limits | None = None
) -> tuple[Chain, ...]:
    """The chain `egress` (tried for the sender's NIC) and `ingress` (for the receiver's), and the parts of both.

    A packet that the egress chain allows returns to the caller; one that the ingress chain allows is accepted.
    """
    egress, ingress = (
        [[rule for rule in stage if rule.inbound == inbound] for stage in stages] for inbound in (False, True)
    )
    return (
        *_chains(EGRESS, egress, nics, space, limits),
        *_chains(INGRESS, ingress, nics, space, limits),
    )


def _chains(
    name: str, stages: Sequence[Sequence[Rule]], nics: Sequence[Nic], space: Space, limits: Limits | None
) -> Iterator[Chain]:
    """The chains of one direction: if no packet goes on from a stage to another, all of it is one list."""
    stages = [stage for stage in stages if stage]
    compiled = [[line for rule in stage for line in _lines(rule, nics, space)] for stage in stages]
    implied = _IMPLIED[name]
    if len(stages) <= 1 and not any(rule.action == "goto_next" for stage in stages for rule in stage):
        yield from arrange(name, [*(line for lines in compiled for line in lines), Line(implied)], space, limits)
        return
    main: list[str] = []
    for number, lines in enumerate(compiled):
        stage = f"{name}{PART}s{number}"
        main.append(f"-j {stage}")
        if name == EGRESS:
            lines.append(Line(log_chains.HANDED_ON.rules[0]))
            main += [f"-m mark --mark 0x0/{_MARK} -j RETURN", f"-j MARK --set-xmark 0x0/{_MARK}"]
        yield from arrange(stage, lines, space, limits, jumps=1)
    yield Chain(name, None, (*main, implied))


def _lines(rule: Rule, nics: Sequence[Nic], space: Space) -> Iterator[Line]:
    """The iptables rules of one firewall rule."""
    inbound = rule.inbound
    targets, sources, destinations = _targets(rule, nics), _peers(_sources(rule, nics)), _peers(rule.destination_ranges)
    sets = [matches.addresses(members, "dst" if inbound else "src", space) for members in targets]
    single = [matches.prefix(cidr, "src") for (cidr,) in (m for m in sources if len(m) == 1)]
    single += [matches.prefix(cidr, "dst") for (cidr,) in (m for m in destinations if len(m) == 1)]
    sets += [matches.ranges(members, "src", space) for members in sources if len(members) > 1]
    sets += [matches.ranges(members, "dst", space) for members in destinations if len(members) > 1]
    for match in rule.matches:
        number = _protocol(match)
        protocol = [] if number is None else [matches.protocol(number)]
        for ports in [*matches.portions(_ports(match))] or [()]:
            words = [*single, *protocol, *([matches.ports(ports)] if ports else []), *sets]
            yield Line(
                " ".join([*words, matches.comment(rule.label), log_chains.target(rule)]),
                (*sources, *(() if inbound else targets)),
                (*(targets if inbound else ()), *destinations),
                number,
                ports,
            )


def _targets(rule: Rule, nics: Sequence[Nic]) -> tuple[frozenset[str], ...]:
    """The addresses of the NICs that the rule is for; nothing without targets: it is for all (behaviour 4.1.12)."""
    return (frozenset(nic.address for nic in nics if nic.is_target(rule)),) if rule.has_targets else ()


def _sources(rule: Rule, nics: Sequence[Nic]) -> tuple[str, ...]:
    """Source ranges, and addresses of NICs with a source tag or account: either will do (behaviour 4.1.10, 4.1.11)."""
    tags, accounts = set(rule.source_tags), set(rule.source_accounts)
    tagged = {f"{nic.address}/32" for nic in nics if tags & nic.tags or accounts & nic.service_accounts}
    if (tags or accounts) and not rule.source_ranges and not tagged:
        return ("255.255.255.255/32",)  # nobody has the tag: a source that no packet has
    return (*rule.source_ranges, *sorted(tagged))


def _peers(ranges: Sequence[str]) -> tuple[frozenset[str], ...]:
    """The ranges that the other end must be in one of; nothing if it may have any address."""
    return (frozenset(ranges),) if ranges and _EVERYTHING not in ranges else ()


def _protocol(match: Match) -> int | None:
    """The number of the protocol, None for all of them."""
    if match.ip_protocol == "all":
        return None
    return PROTOCOL_NUMBERS.get(match.ip_protocol) or int(match.ip_protocol)


def _ports(match: Match) -> Iterator[matches.Ports]:
    for port in match.ports:
        first, *rest = (int(number) for number in port.split("-"))
        yield first, rest[0] if rest else first
