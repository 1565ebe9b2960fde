"""Matches of iptables rules, written as `iptables-save` prints them: what is read back is then what was planned."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from testbed.fabric.wiring import Space

Side = Literal["src", "dst"]
Ports = tuple[int, int]
"""The first port and the last."""

_PORTS_PER_MATCH = 15
"""What the multiport match takes; a range counts as two."""
_PLAIN = re.compile(r"[-_0-9A-Za-z]+")
_OPTION: dict[Side, str] = {"src": "-s", "dst": "-d"}
_NAMES = {
    1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 17: "udp", 41: "ipv6", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah",
    58: "ipv6-icmp", 88: "eigrp", 89: "ospf", 94: "ipip", 103: "pim", 112: "vrrp", 115: "l2tp", 132: "sctp",
    136: "udplite", 137: "mpls-in-ip",
}  # fmt: skip
"""Protocols that iptables prints by name even if given by number: the current ones of Debian's /etc/protocols.

Its `ipip` is not Google's, which is number 4."""


def protocol(number: int) -> str:
    """The match of an IP protocol."""
    return f"-p {_NAMES.get(number, number)}"


def portions(wanted: Iterable[Ports]) -> Iterator[tuple[Ports, ...]]:
    """Ports in portions that one match can take."""
    portion: list[Ports] = []
    used = 0
    for first, last in wanted:
        cost = 2 if last > first else 1
        if used + cost > _PORTS_PER_MATCH:
            yield tuple(portion)
            portion, used = [], 0
        portion.append((first, last))
        used += cost
    if portion:
        yield tuple(portion)


def ports(portion: Iterable[Ports]) -> str:
    """The match of destination ports."""
    texts = (f"{first}:{last}" if last > first else f"{first}" for first, last in portion)
    return f"-m multiport --dports {','.join(texts)}"


def prefix(cidr: str, side: Side) -> str:
    """The match of one range.  iptables prints it before the protocol, and one for each side."""
    return f"{_OPTION[side]} {cidr}"


def comment(text: str) -> str:
    """The comment of a rule.  iptables prints one in quotes that is not only letters, digits, `-` and `_`."""
    return f"-m comment --comment {text if _PLAIN.fullmatch(text) else chr(34) + text + chr(34)}"


def addresses(members: Collection[str], side: Side, space: Space) -> str:
    """The match of a set of addresses that the space is to have.  iptables prints it after the protocol."""
    return f"-m set --match-set {space.set_of('hash:ip', members)} {side}"


def ranges(members: Collection[str], side: Side, space: Space) -> str:
    """The match of a set of ranges that the space is to have.  iptables prints it after the protocol."""
    return f"-m set --match-set {space.set_of('hash:net', members)} {side}"
