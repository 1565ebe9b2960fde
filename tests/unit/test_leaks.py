from __future__ import annotations

from tests.leaks import COUNTERS, LOOK, Snapshot, differences

NOTHING: Snapshot = {kind: frozenset() for kind in LOOK}
RULES = "iptables rule of the host"


def test_the_same_host_twice_is_no_leak() -> None:
    assert differences(NOTHING, NOTHING) == []


def test_each_new_thing_is_told_by_kind_and_name() -> None:
    after = {**NOTHING, "network namespace": frozenset({"tb-a-vpc"}), "container": frozenset({"tb-a-vm"})}
    assert differences(NOTHING, after) == [
        "left behind: network namespace tb-a-vpc",
        "left behind: container tb-a-vm",
    ]


def test_what_others_take_away_is_their_business_except_the_hosts_rules() -> None:
    before = {**NOTHING, "link of the host": frozenset({"veth0"}), RULES: frozenset({"filter: -P FORWARD DROP"})}
    assert differences(before, NOTHING) == [f"gone: {RULES} filter: -P FORWARD DROP"]


def test_counters_are_no_difference() -> None:
    assert COUNTERS.sub(" ", ":FORWARD DROP [12:3400]").strip() == ":FORWARD DROP"
    assert COUNTERS.sub(" ", "[7:90] -A FORWARD -j DROP").strip() == "-A FORWARD -j DROP"
