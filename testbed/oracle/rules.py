"""Firewall rules, of networks and of policies: which of them decides on a packet (behaviour 4.1)."""

from __future__ import annotations

from testbed.model.compute.firewall import Firewall
from testbed.oracle.cloud import Cloud, Nic, within
from testbed.oracle.matching import speaks
from testbed.oracle.policies import Hit, hits, policies_first
from testbed.oracle.verdict import Direction, Packet, Ruling


def egress(cloud: Cloud, sender: Nic, packet: Packet) -> Ruling:
    """The rule that decides at the sender (behaviour 4.1.16)."""
    return _ruling(cloud, "EGRESS", sender, packet, sender)


def ingress(cloud: Cloud, receiver: Nic, packet: Packet, sender: Nic | None) -> Ruling:
    """The rule that decides at the receiver; `sender` is the interface that the source address belongs to."""
    return _ruling(cloud, "INGRESS", receiver, packet, sender)


def _ruling(cloud: Cloud, direction: Direction, target: Nic, packet: Packet, sender: Nic | None) -> Ruling:
    """The stages one after the other, until a rule allows or denies (behaviour 4.1.21)."""
    passed: list[str] = []
    own, of_policies = _own(cloud, direction, target, packet, sender), hits(cloud, direction, target, packet)
    for hit in (*of_policies, own) if policies_first(cloud, target.network) else (own, *of_policies):
        if hit is not None and hit.action == "goto_next":
            passed.append(hit.rule)
        elif hit is not None:
            return Ruling(target.network, direction, hit.rule, hit.action == "allow", tuple(passed))
    # implied: all may go out, nothing may come in (behaviour 4.1.7)
    return Ruling(target.network, direction, None, direction == "EGRESS", tuple(passed))


def _own(cloud: Cloud, direction: Direction, target: Nic, packet: Packet, sender: Nic | None) -> Hit | None:
    """The network's first rule by priority, deny before allow (behaviour 4.1.5, 4.1.6); then by name (ours)."""
    matching = (
        rule
        for rule in cloud.rules(target.network)
        if rule.direction == direction
        and rule.is_for(target.tags, target.accounts)
        and _from(rule, packet, sender)
        and _to(rule, packet)
        and any(speaks(match, packet) for match in rule.allowed or rule.denied)
    )
    first = min(matching, key=lambda rule: (rule.priority, rule.allows, rule.name), default=None)
    return Hit(first.name, "allow" if first.allows else "deny") if first else None


def _from(rule: Firewall, packet: Packet, sender: Nic | None) -> bool:
    """Ranges, or tags, or accounts; without any of them, whatever the source (behaviour 4.1.10)."""
    if not (rule.source_ranges or rule.source_tags or rule.source_service_accounts):
        return True
    return any(within(packet.source, cidr) for cidr in rule.source_ranges) or _identified(rule, packet, sender)


def _identified(rule: Firewall, packet: Packet, sender: Nic | None) -> bool:
    """Tags and accounts are those of internal addresses of the rule's own network (behaviour 4.1.11, 4.5.6)."""
    if sender is None or (sender.network, sender.address) != (rule.network, packet.source):
        return False
    return not {*rule.source_tags}.isdisjoint(sender.tags) or not {*rule.source_service_accounts}.isdisjoint(
        sender.accounts
    )


def _to(rule: Firewall, packet: Packet) -> bool:
    return not rule.destination_ranges or any(within(packet.destination, cidr) for cidr in rule.destination_ranges)
