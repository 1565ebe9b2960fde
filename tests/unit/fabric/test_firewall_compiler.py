"""VPC firewall rules as iptables rules: they decide what Google's rules decide.

A small interpreter evaluates the iptables rules; it has to agree with a plain reading of the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.fabric.firewall.chains import EGRESS, INGRESS, Nic, chains
from testbed.fabric.firewall.decision_tree import Limits
from testbed.fabric.firewall.rules import classic, stages
from testbed.fabric.wiring import Space
from testbed.model.compute.firewall import PROTOCOL_NUMBERS, Firewall, Match
from tests.sample import size
from tests.unit.topologies import KNOWN

NICS = (
    Nic("10.0.0.2", frozenset({"web"}), frozenset({"a@p"})),
    Nic("10.0.0.3", frozenset({"web", "db"})),
    Nic("10.0.0.4", frozenset({"db"}), frozenset({"b@p"})),
    Nic("10.0.0.5"),
)


def rule(name: str = "r", **fields: Any) -> Firewall:
    return Firewall.model_validate({"name": name, "network": "vpc", **fields}, context=KNOWN)


def lines(*rules: Firewall, direction: str = "INGRESS") -> list[str]:
    """The compiled chain without the implied rule."""
    egress, ingress = chains(stages(rules), NICS, Space("vpc"))
    return list((ingress if direction == "INGRESS" else egress).rules[:-1])


@dataclass(frozen=True)
class Packet:
    source: str
    destination: str
    protocol: int
    port: int = 0


# -- the interpreter --------------------------------------------------------------------------------------------------

_BY_NAME = {**PROTOCOL_NUMBERS, "gre": 47, "ipencap": 4, "ipip": 94}


def verdict(
    chain: Sequence[str], sets: Mapping[str, frozenset[str]], packet: Packet, parts: Mapping[str, Sequence[str]]
) -> tuple[str, str]:
    """The target of the first rule that matches, and its comment; one that leads to another chain goes on there."""
    for text in chain:
        words = iter(text.split())
        matches, comment = True, ""
        for word in words:
            if word == "-p":
                name = next(words)
                matches &= (int(name) if name.isdigit() else _BY_NAME[name]) == packet.protocol
            elif word in {"-s", "-d"}:
                address = IPv4Address(packet.source if word == "-s" else packet.destination)
                matches &= address in IPv4Network(next(words))
            elif word == "--dports":
                matches &= any(_within(part, packet.port) for part in next(words).split(","))
            elif word == "--match-set":
                ranges, side = sets[next(words)], next(words)
                address = IPv4Address(packet.source if side == "src" else packet.destination)
                matches &= any(address in IPv4Network(member) for member in ranges)
            elif word == "--comment":
                comment = next(words)
            elif word in {"-j", "-g"}:
                target = next(words)
                if matches:
                    return verdict(parts[target], sets, packet, parts) if word == "-g" else (target, comment)
            else:
                assert word == "-m", text
                assert next(words) in {"set", "multiport", "comment"}, text
    raise AssertionError("no rule matched")


def _within(part: str, port: int) -> bool:
    low, _, high = part.partition(":")
    return int(low) <= port <= int(high or low)


def met(rules: Sequence[Firewall], packet: Packet, direction: str, limits: Limits | None = None) -> tuple[str, str]:
    """The target and the comment of the iptables rule that decides."""
    space = Space("vpc")
    parts = {chain.name: chain.rules for chain in chains(stages(rules), NICS, space, limits)}
    sets = {one.name: one.members for one in space.sets}
    return verdict(parts[direction.lower()], sets, packet, parts)


def decided(rules: Sequence[Firewall], packet: Packet, direction: str) -> bool:
    return met(rules, packet, direction)[0] in {"ACCEPT", "RETURN"}


# -- the documentation ------------------------------------------------------------------------------------------------


def documented(rules: Sequence[Firewall], packet: Packet, direction: str) -> bool:
    """Behaviour 4.1.5 to 4.1.14."""
    matching = [r for r in rules if r.direction == direction and not r.disabled and _applies(r, packet)]
    if not matching:
        return direction == "EGRESS"  # 4.1.7
    first = min(r.priority for r in matching)
    return all(r.allows for r in matching if r.priority == first)  # 4.1.6


def _applies(r: Firewall, packet: Packet) -> bool:
    nic = packet.destination if r.direction == "INGRESS" else packet.source
    targets = r.target_tags or r.target_service_accounts
    if targets and not _has(nic, r.target_tags, r.target_service_accounts):
        return False
    if r.source_ranges or r.source_tags or r.source_service_accounts:
        by_range = _in(packet.source, r.source_ranges)
        if not by_range and not _has(packet.source, r.source_tags, r.source_service_accounts):
            return False
    if r.destination_ranges and not _in(packet.destination, r.destination_ranges):
        return False
    return any(_match(m, packet) for m in r.allowed or r.denied)


def _has(address: str, tags: Sequence[str], accounts: Sequence[str]) -> bool:
    return any(n.address == address and (n.tags & {*tags} or n.service_accounts & {*accounts}) for n in NICS)


def _in(address: str, ranges: Sequence[str]) -> bool:
    return any(IPv4Address(address) in IPv4Network(cidr) for cidr in ranges)


def _match(m: Match, packet: Packet) -> bool:
    if m.ip_protocol == "all":
        return True
    number = PROTOCOL_NUMBERS[m.ip_protocol] if m.ip_protocol in PROTOCOL_NUMBERS else int(m.ip_protocol)
    ports = [[int(n) for n in port.split("-")] for port in m.ports]
    return number == packet.protocol and (not ports or any(p[0] <= packet.port <= p[-1] for p in ports))


PORT = st.integers(0, 40)
PORTS = PORT.map(str) | st.tuples(PORT, PORT).map(lambda pair: f"{min(pair)}-{max(pair)}")
MATCHES = st.lists(
    st.fixed_dictionaries({"IPProtocol": st.sampled_from(["tcp", "17"]), "ports": st.lists(PORTS, max_size=20)})
    | st.sampled_from(["all", "icmp", "ipip", "1", "47"]).map(lambda p: {"IPProtocol": p}),
    min_size=1,
    max_size=3,
)
RANGES = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.0.0.2/32", "10.0.0.4/31", "0.0.0.0/0", "192.0.2.0/24"]), max_size=2
)
TAGS = st.lists(st.sampled_from(["web", "db", "nobody"]), max_size=2)
ACCOUNTS = st.lists(st.sampled_from(["a@p", "b@p", "c@p"]), min_size=1, max_size=2)


@st.composite
def any_rule(draw: st.DrawFn) -> Firewall:
    fields: dict[str, Any] = {
        draw(st.sampled_from(["allowed", "denied"])): draw(MATCHES),
        "direction": draw(st.sampled_from(["INGRESS", "EGRESS"])),
        "priority": draw(st.integers(998, 1001)),
        "disabled": draw(st.sampled_from([False, False, False, True])),
        "sourceRanges": draw(RANGES),
        "destinationRanges": draw(RANGES),
    }
    inbound = fields["direction"] == "INGRESS"
    if draw(st.booleans()):
        fields["targetTags"] = draw(TAGS)
        if inbound:
            fields["sourceTags"] = draw(TAGS)
    elif draw(st.booleans()):
        fields["targetServiceAccounts"] = draw(ACCOUNTS)
        if inbound and draw(st.booleans()):
            fields["sourceServiceAccounts"] = draw(ACCOUNTS)
    return rule(f"r{draw(st.integers(0, 99))}", **fields)


ADDRESSES = st.sampled_from([*(nic.address for nic in NICS), "192.0.2.7", "172.16.0.1"])
PACKETS = st.builds(Packet, ADDRESSES, ADDRESSES, st.sampled_from([1, 4, 6, 17, 47, 94]), PORT)


@pytest.mark.sampled
@settings(max_examples=size(100, 300))
@given(st.lists(any_rule(), max_size=6), PACKETS, st.sampled_from(["INGRESS", "EGRESS"]))
def test_iptables_decides_what_is_documented(rules: list[Firewall], packet: Packet, direction: str) -> None:
    assert decided(rules, packet, direction) == documented(rules, packet, direction)


LIMITS = st.sampled_from(
    [
        Limits(flat=0, leaf=1),
        Limits(flat=2, leaf=1, copies=20),
        Limits(flat=2, leaf=3, copies=1),
        Limits(flat=2, leaf=1, copies=20, depth=2),
    ]
)


@pytest.mark.behaviour("4.1.5", "4.1.6")
@pytest.mark.sampled
@settings(max_examples=size(60, 300))
@given(st.lists(any_rule(), min_size=1, max_size=40), st.lists(PACKETS, min_size=1, max_size=20), LIMITS)
def test_a_decision_tree_finds_the_same_rule(rules: list[Firewall], packets: list[Packet], limits: Limits) -> None:
    for packet in packets:
        for direction in ("INGRESS", "EGRESS"):
            assert met(rules, packet, direction, limits) == met(rules, packet, direction)


def many(count: int) -> list[Firewall]:
    """Rules as large projects have them: by range and port, by tag, and some for everybody."""
    return [
        rule(
            f"r{number}",
            priority=1 + number,
            allowed=[{"IPProtocol": "tcp", "ports": [str(1 + number % 900)]}],
            sourceRanges=[f"10.{number % 200}.{number // 200}.0/24"],
            **({"targetTags": ["web", "db"][number % 2 :]} if number % 3 else {}),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [129, 1000, 5000])
def test_the_tree_is_flat_and_not_too_large(count: int) -> None:
    """No packet meets many rules, and there are not many copies."""
    parts = {
        chain.name: chain.rules for chain in chains(stages(many(count)), NICS, Space("vpc")) if chain.name != EGRESS
    }

    def longest(name: str) -> int:
        """The most rules that a packet can meet from here on."""
        after, most = 0, 0
        for text in parts[name]:
            after += 1
            if "-g " in text:
                most = max(most, after + longest(text.rpartition("-g ")[2]))
        return max(most, after)

    assert longest(INGRESS) <= 64
    assert sum(map(len, parts.values())) <= 4 * count


@given(st.lists(any_rule(), max_size=6), st.integers(1, 200))
def test_the_number_of_rules_does_not_depend_on_the_number_of_nics(rules: list[Firewall], count: int) -> None:
    many = [Nic(f"10.1.{i}.2", frozenset({"web", "db"}), frozenset({"a@p"})) for i in range(count)]
    few, more = chains(stages(rules), NICS, Space("vpc")), chains(stages(rules), many, Space("vpc"))
    assert [len(chain.rules) for chain in few] == [len(chain.rules) for chain in more]


@given(st.lists(any_rule(), max_size=6))
def test_every_set_is_declared(rules: list[Firewall]) -> None:
    space = Space("vpc")
    words = [word for chain in chains(stages(rules), NICS, space) for text in chain.rules for word in text.split()]
    used = {words[i + 1] for i, word in enumerate(words) if word == "--match-set"}
    assert used == {one.name for one in space.sets}


# -- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("4.1.5", "4.1.6")
def test_priority_comes_first_then_deny() -> None:
    rules = [
        rule("allow-1000", allow=["tcp"]),
        rule("deny-1000", deny=["tcp"]),
        rule("allow-999", allow=["tcp"], priority=999),
        rule("deny-1001", deny=["tcp"], priority=1001),
    ]
    assert [r.label for r in classic(rules)] == ["allow-999", "deny-1000", "allow-1000", "deny-1001"]


@pytest.mark.behaviour("4.1.14")
def test_a_disabled_rule_does_not_exist() -> None:
    assert lines(rule(allow=["tcp"], disabled=True)) == []


@pytest.mark.behaviour("4.1.7")
def test_the_implied_rules_come_last() -> None:
    egress, ingress = chains(stages([rule(allow=["tcp"])]), NICS, Space("vpc"))
    assert egress.rules == ("-m comment --comment implied-allow-egress -j RETURN",)
    assert ingress.rules[-1] == "-m comment --comment implied-deny-ingress -j DROP"
    assert (egress.policy, ingress.policy) == (None, None)


def test_a_comment_names_the_rule() -> None:
    assert lines(rule("web", allow=["tcp:80"])) == [
        "-p tcp -m multiport --dports 80 -m comment --comment web -j ACCEPT"
    ]


@pytest.mark.parametrize(
    ("ports", "portions"),
    [
        (range(1, 16), [15]),
        (range(1, 17), [15, 1]),
        (range(1, 32), [15, 15, 1]),
        ([f"{n}0-{n}5" for n in range(1, 9)], [7, 1]),  # a range counts as two
        ([*range(1, 15), "20-30"], [14, 1]),
    ],
)
def test_multiport_takes_fifteen_ports(ports: Sequence[int | str], portions: list[int]) -> None:
    found = lines(rule(allowed=[{"IPProtocol": "tcp", "ports": list(ports)}]))
    assert [len(text.split("--dports ")[1].split(" ")[0].split(",")) for text in found] == portions


def test_a_range_of_one_port_is_a_port() -> None:
    """iptables refuses 80:80."""
    assert "--dports 80 " in lines(rule(allow=["tcp:80-80"]))[0]


@pytest.mark.parametrize(
    ("protocol", "printed"),
    [
        ("6", "-p tcp "),
        ("1", "-p icmp "),
        ("ipip", "-p ipencap "),
        ("4", "-p ipencap "),
        ("94", "-p ipip "),
        ("132", "-p sctp "),
        ("253", "-p 253 "),
        ("all", ""),
    ],
)
def test_protocols_are_written_as_iptables_prints_them(protocol: str, printed: str) -> None:
    """Otherwise what is read back would never be equal to what is wanted."""
    assert lines(rule(allow=[protocol])) == [f"{printed}-m comment --comment r -j ACCEPT"]


@pytest.mark.behaviour("4.1.12", "4.1.16")
def test_targets_are_receivers_of_ingress_and_senders_of_egress() -> None:
    for direction, source, destination in (
        ("INGRESS", "192.0.2.7", "10.0.0.2"),
        ("EGRESS", "10.0.0.2", "192.0.2.7"),
    ):
        rules = [rule(direction=direction, targetTags=["web"], deny=["tcp"], priority=1)]
        rules.append(rule("rest", direction=direction, allow=["all"]))
        assert not decided(rules, Packet(source, destination, 6), direction)
        assert decided(rules, Packet(destination, source, 6), direction)


@pytest.mark.behaviour("4.1.11")
def test_a_source_tag_that_nobody_has_matches_nothing() -> None:
    rules = [rule(allow=["all"], sourceTags=["nobody"])]
    assert not decided(rules, Packet("10.0.0.5", "10.0.0.2", 6, 80), "INGRESS")


@pytest.mark.behaviour("4.1.10")
def test_ranges_or_tags_will_do() -> None:
    rules = [rule(allow=["all"], sourceTags=["db"], sourceRanges=["192.0.2.0/24"])]
    for source, allowed in (("10.0.0.4", True), ("192.0.2.1", True), ("10.0.0.2", False)):
        assert decided(rules, Packet(source, "10.0.0.5", 6), "INGRESS") is allowed
