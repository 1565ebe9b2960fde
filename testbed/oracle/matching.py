"""What protocols and ports say of a packet, in firewall rules and in those of policies."""

from __future__ import annotations

from testbed.model.compute.firewall import PROTOCOL_NUMBERS, Match
from testbed.oracle.verdict import Packet


def speaks(match: Match, packet: Packet) -> bool:
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
