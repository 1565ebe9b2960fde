from __future__ import annotations

from testbed.fabric.plan import IpSet
from testbed.kernel import ipset
from testbed.kernel.ipset import Hits

SAVED = """\
create tb-c11e hash:net family inet hashsize 1024 maxelem 65536 counters bucketsize 12 initval 0x1
add tb-c11e 10.0.0.0/30 packets 3 bytes 87
add tb-c11e 192.0.2.1 packets 0 bytes 0
create others hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x2
add others 10.0.0.1
create tb-9047 bitmap:port range 0-65535
add tb-9047 667
"""
CLIENTS = IpSet("tb-c11e", "hash:net", frozenset({"10.0.0.0/30", "192.0.2.1"}), counters=True)
PORTS = IpSet("tb-9047", "bitmap:port", frozenset({"667"}))


def test_our_sets_are_read_and_others_are_not() -> None:
    assert ipset.parse(SAVED) == {CLIENTS, PORTS}
    assert ipset.parse("") == frozenset()


def test_members_have_their_counters() -> None:
    assert ipset.hits(SAVED, "tb-c11e") == {"10.0.0.0/30": Hits(3, 87), "192.0.2.1": Hits(0, 0)}
    assert ipset.hits(SAVED, "tb-9047") == {}


def test_a_missing_set_is_made() -> None:
    assert ipset.script(CLIENTS, None) == [
        "create tb-c11e hash:net family inet maxelem 65536 counters",
        "add tb-c11e 10.0.0.0/30",
        "add tb-c11e 192.0.2.1",
    ]
    assert ipset.script(PORTS, None) == ["create tb-9047 bitmap:port range 0-65535", "add tb-9047 667"]


def test_a_damaged_set_is_mended_in_place() -> None:
    damaged = IpSet("tb-c11e", "hash:net", frozenset({"192.0.2.1", "192.0.2.2"}), counters=True)

    assert ipset.script(CLIENTS, damaged) == ["del tb-c11e 192.0.2.2", "add tb-c11e 10.0.0.0/30"]


def test_a_set_has_room_for_all_its_members() -> None:
    many = frozenset(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(70_000))

    assert ipset.script(IpSet("tb-1", "hash:ip", many), None)[0] == "create tb-1 hash:ip family inet maxelem 70000"
