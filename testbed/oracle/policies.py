"""Network firewall policies: which of their rules a packet meets (behaviour 4.1.21)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from testbed.model.compute.firewall_policy import Action, PolicyRule
from testbed.oracle.cloud import Cloud, Nic, within
from testbed.oracle.matching import speaks
from testbed.oracle.verdict import Direction, Packet


class Hit(NamedTuple):
    """A rule that a packet meets, and what that says."""

    rule: str
    action: Action


def policies_first(cloud: Cloud, network: str) -> bool:
    """Whether a network's policies are tried before its own rules."""
    known = {one.full_name: one for one in cloud.topology.compute.networks}
    return known[network].network_firewall_policy_enforcement_order == "BEFORE_CLASSIC_FIREWALL"


def hits(cloud: Cloud, direction: Direction, target: Nic, packet: Packet) -> Iterator[Hit | None]:
    """What the global policy of the target's network says, then that of its region."""
    compute = cloud.topology.compute
    for policy in compute.network_firewall_policies:
        if target.network in policy.networks:
            yield _first(policy.name, policy.rules, direction, target, packet)
    for regional in compute.region_network_firewall_policies:
        if target.network in regional.networks and target.region == regional.region:
            yield _first(f"{regional.region}/{regional.name}", regional.rules, direction, target, packet)


def _first(policy: str, rules: tuple[PolicyRule, ...], direction: Direction, target: Nic, packet: Packet) -> Hit | None:
    matching = (
        rule
        for rule in rules
        if rule.direction == direction
        and not rule.disabled
        and rule.is_for(target.accounts)
        and _in(packet.source, rule.match.src_ip_ranges)
        and _in(packet.destination, rule.match.dest_ip_ranges)
        and any(speaks(match, packet) for match in rule.match.layer4_configs)
    )
    first = min(matching, key=lambda rule: rule.priority, default=None)
    return Hit(f"{policy}:{first.priority}", first.action) if first else None


def _in(address: str, ranges: tuple[str, ...]) -> bool:
    return not ranges or any(within(address, cidr) for cidr in ranges)
