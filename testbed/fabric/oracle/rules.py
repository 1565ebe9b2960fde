"""VPC firewall rules: which of them decides on a packet (behaviour 4.1)."""

from __future__ import annotations

from testbed.fabric.oracle.cloud import Cloud, Nic, within
from testbed.fabric.oracle.verdict import Direction, Packet, Ruling
from testbed.model.firewall import PROTOCOL_NUMBERS, Firewall, Match


def egress(cloud: Cloud, sender: Nic, packet: Packet) -> Ruling:
    """The rule that decides at the sender (behaviour 4.1.16)."""
    return _ruling(cloud, "EGRESS", sender, packet, sender)


def ingress(cloud: Cloud, receiver: Nic, packet: Packet, sender: Nic | None) -> Ruling:
    """The rule that decides at the receiver; `sender` is the interface that the source address belongs to."""
    return _ruling(cloud, "INGRESS", receiver, packet, sender)


def _ruling(cloud: Cloud, direction: Direction, target: Nic, packet: Packet, sender: Nic | None) -> Ruling:
    """The first by priority, deny before allow (behaviour 4.1.5, 4.1.6); of equal ones, by name (our choice)."""
    matching = (
        rule
        for rule in cloud.rules(target.network)
        if rule.direction == direction
        and rule.is_for(target.tags, target.accounts)
        and _from(rule, packet, sender)
        and _to(rule, packet)
        and any(_speaks(match, packet) for match in rule.allowed or rule.denied)
    )
    first = min(matching, key=lambda rule: (rule.priority, rule.allows, rule.name), default=None)
    if first is None:  # implied: all may go out, nothing may come in (behaviour 4.1.7)
        return Ruling(target.network, direction, None, allows=direction == "EGRESS")
    return Ruling(target.network, direction, first.name, first.allows)


def _from(rule: Firewall, packet: Packet, sender: Nic | None) -> bool:
    """Ranges, or tags, or accounts; without any of them, whatever the source (behaviour 4.1.10)."""
    if not (rule.source_ranges or rule.source_tags or rule.source_service_accounts):
        return True
    return any(within(packet.source, cidr) for cidr in rule.source_ranges) or _identified(rule, packet, sender)


def _identified(rule: Firewall, packet: Packet, sender: Nic | None) -> bool:
    """Tags and accounts are those of internal addresses of the rule's own network (behaviour 4.1.11, 4.5.6)."""
    if sender is None or not sender.identifies or (sender.network, sender.address) != (rule.network, packet.source):
        return False
    return not {*rule.source_tags}.isdisjoint(sender.tags) or not {*rule.source_service_accounts}.isdisjoint(
        sender.accounts
    )


def _to(rule: Firewall, packet: Packet) -> bool:
    return not rule.destination_ranges or any(within(packet.destination, cidr) for cidr in rule.destination_ranges)


def _speaks(match: Match, packet: Packet) -> bool:
    """A protocol by name or number, and ports where there are some (behaviour 4.1.8)."""
    if match.ip_protocol == "all":
        return True
    number = PROTOCOL_NUMBERS.get(match.ip_protocol) or int(match.ip_protocol)
    return number == PROTOCOL_NUMBERS[packet.protocol] and (
        not match.ports or any(_has(p, packet) for p in match.ports)
    )


def _has(ports: str, packet: Packet) -> bool:
    low, _, high = ports.partition("-")
    return packet.port is not None and int(low) <= packet.port <= int(high or low)
