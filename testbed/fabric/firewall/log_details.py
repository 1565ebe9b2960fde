"""What the log says of the rules that are logged, in Google's shape.

Of a network's own rules that is docs.cloud.google.com/firewall/docs/vpc-log-format, of policies'
docs.cloud.google.com/firewall/docs/firewall-policy-log-format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from testbed.fabric.firewall.rules import Rule, stages
from testbed.json_object import Json
from testbed.model.compute.firewall import Match
from testbed.model.core.resource import last
from testbed.model.topology import Topology


@dataclass(frozen=True, slots=True)
class Logged:
    """A rule, and what records of it say."""

    rule: Rule
    details: Json
    metadata: bool
    """Whether the records say more than the connection and the rule."""

    def told(self) -> Json:
        """The details as a record has them."""
        return {**self.details, **(_metadata(self.rule) if self.metadata else {})}


def logged(topology: Topology, network: str) -> dict[str, Logged]:
    """The logged rules of a network, by what the kernel's log calls them; of policies, all is logged (our choice)."""
    own = [rule for rule in topology.compute.firewalls if rule.network == network]
    policies = topology.policies_of(network)
    told = {rule.full_name: (rule.priority, rule.log_config.metadata == "INCLUDE_ALL_METADATA") for rule in own}
    told |= {f"{p.full_name}:{rule.priority}": (rule.priority, True) for p in policies for rule in p.rules}
    return {
        rule.note: Logged(rule, _details(rule, told[rule.key][0], last(network)), told[rule.key][1])
        for stage in stages(own, policies)
        for rule in stage
        if rule.logged
    }


def _details(rule: Rule, priority: int, network: str) -> Json:
    owner = last(rule.key).partition(":")
    what = f"firewallPolicy:{owner[0]}" if owner[1] else f"firewall:{owner[0]}"
    return {
        "reference": f"network:{network}/{what}",
        "priority": priority,
        "action": "ALLOW" if rule.action == "allow" else "DENY",
        "direction": rule.direction,
        "ip_port_info": [*_protocols(rule.matches)],
    }


def _protocols(matches: Iterable[Match]) -> Iterator[Json]:
    for match in matches:
        protocol = {"ip_protocol": match.ip_protocol.upper()}
        yield {**protocol, "port_range": list(match.ports)} if match.ports else protocol


def _metadata(rule: Rule) -> Json:
    anywhere = ("0.0.0.0/0",)
    named = rule.source_tags or rule.source_accounts
    found: dict[str, tuple[str, ...]] = {
        "source_range": rule.source_ranges or (anywhere if rule.inbound and not named else ()),
        "destination_range": rule.destination_ranges or (() if rule.inbound else anywhere),
        "source_tag": rule.source_tags,
        "target_tag": rule.target_tags,
        "source_service_account": rule.source_accounts,
        "target_service_account": rule.target_accounts,
    }
    return {field: list(values) for field, values in found.items() if values}
