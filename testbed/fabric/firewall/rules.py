"""Firewall rules as packets meet them: those of a network, and those of its firewall policies, in stages.

The stages are tried one after the other, and within each the rules by priority; the first one that allows or denies has
decided, and one that says `goto_next` leads to the next stage (behaviour 4.1.21).  A network without policies has one
stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from testbed.model.compute.firewall import Firewall, Match
from testbed.model.compute.firewall_policy import Action, NetworkFirewallPolicy, RegionNetworkFirewallPolicy
from testbed.model.core.resource import last


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is enforced."""

    label: str
    """What counters know it by: a rule's name, `POLICY:PRIORITY`, or `REGION/POLICY:PRIORITY`."""
    key: str
    """What no other rule has: its full name, or that of its policy with its priority."""
    direction: str
    action: Action
    matches: tuple[Match, ...]
    source_ranges: tuple[str, ...] = ()
    destination_ranges: tuple[str, ...] = ()
    source_tags: tuple[str, ...] = ()
    source_accounts: tuple[str, ...] = ()
    target_tags: tuple[str, ...] = ()
    target_accounts: tuple[str, ...] = ()
    region: str | None = None
    """The rule is for NICs in this region, if it names one."""
    logged: bool = False

    @property
    def inbound(self) -> bool:
        """Whether it is tried for receivers."""
        return self.direction == "INGRESS"

    @property
    def has_targets(self) -> bool:
        """Whether it is for some of the network's NICs only."""
        return bool(self.target_tags or self.target_accounts or self.region)

    @property
    def note(self) -> str:
        """What the kernel's log calls it: at most 63 characters, and none that need quotes (behaviour 4.1.15)."""
        policy = ":" in self.label  # no name of a rule begins with a digit
        return f"0{hashlib.sha256(self.label.encode()).hexdigest()[:16]}" if policy else self.label

    def is_for(self, tags: Collection[str], accounts: Collection[str], region: str) -> bool:
        """Whether a NIC is a target; without targets all are (behaviour 4.1.12)."""
        if self.region not in {None, region}:
            return False
        if not self.target_tags and not self.target_accounts:
            return True
        return not {*self.target_tags}.isdisjoint(tags) or not {*self.target_accounts}.isdisjoint(accounts)

    def for_all(self) -> Self:
        """The rule for every NIC."""
        return replace(self, target_tags=(), target_accounts=(), region=None)


Stage = tuple[Rule, ...]
"""Rules in the order in which they are tried."""


def classic(rules: Iterable[Firewall]) -> Stage:
    """A network's own rules: by priority, deny before allow (behaviour 4.1.5, 4.1.6), and of equal ones by name.

    Disabled rules are left out: the network behaves as if they did not exist (behaviour 4.1.14).
    """
    ordered = sorted((r for r in rules if not r.disabled), key=lambda r: (r.priority, r.allows, r.name))
    return tuple(_of_network(rule) for rule in ordered)


def stages(
    rules: Iterable[Firewall], policies: Sequence[NetworkFirewallPolicy] = (), *, before: bool = False
) -> tuple[Stage, ...]:
    """A network's own rules and those of its policies, which come after them, or `before` (behaviour 4.1.21).

    Regional policies make one stage: none has a target that another one has.
    """
    regional = [policy for policy in policies if isinstance(policy, RegionNetworkFirewallPolicy)]
    others = [policy for policy in policies if not isinstance(policy, RegionNetworkFirewallPolicy)]
    of_policies = [tuple(rule for policy in some for rule in _of(policy)) for some in (others, regional) if some]
    own = classic(rules)
    return (*of_policies, own) if before else (own, *of_policies)


def _of_network(rule: Firewall) -> Rule:
    return Rule(
        rule.name,
        rule.full_name,
        rule.direction,
        "allow" if rule.allows else "deny",
        rule.allowed or rule.denied,
        rule.source_ranges,
        rule.destination_ranges,
        rule.source_tags,
        rule.source_service_accounts,
        rule.target_tags,
        rule.target_service_accounts,
        logged=rule.log_config.enable,
    )


def _of(policy: NetworkFirewallPolicy) -> Iterator[Rule]:
    region = policy.region if isinstance(policy, RegionNetworkFirewallPolicy) else None
    for rule in sorted(policy.rules, key=lambda rule: rule.priority):
        match = rule.match
        if not rule.disabled:
            yield Rule(
                f"{label(policy)}:{rule.priority}",
                f"{policy.full_name}:{rule.priority}",
                rule.direction,
                rule.action,
                match.layer4_configs,
                match.src_ip_ranges,
                match.dest_ip_ranges,
                target_accounts=rule.target_service_accounts,
                region=region,
                logged=rule.enable_logging,
            )


def label(policy: NetworkFirewallPolicy) -> str:
    """What the labels of a policy's rules begin with, before the colon."""
    place = f"{policy.region}/" if isinstance(policy, RegionNetworkFirewallPolicy) else ""
    return f"{place}{last(policy.full_name)}"
