"""A `sender` and a `receiver` on a veth pair; what the sender's device lets pass, and how the plan's values stay true.

Rates are those of token buckets that are never filled again while a test runs: how many packets arrive is then a matter
of the bucket's size, and not of time.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed.fabric.plan import (
    Chain,
    End,
    Htb,
    HtbClass,
    Interface,
    Namespace,
    Neighbour,
    Plan,
    Qdisc,
    Table,
    Tbf,
    TokenBucket,
    Veth,
    class_id,
)
from testbed.fabric.plan import KernelRoute as Route
from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference
from testbed.kernel.queueing import dropped
from tests.kernel.spaces import Paths, ip, sh, spaces
from tests.waiting import QUIET

pytestmark = pytest.mark.needs("sch_tbf", "sch_htb", "xt_CLASSIFY")

KIB = 1024
SENDER = Interface("eth0", frozenset({"10.0.0.1/32"}), "02:00:00:00:00:01", 1500)
RECEIVER = Interface("eth0", frozenset({"10.0.0.2/32"}), "02:00:00:00:00:02", 1500)
SLOW = TokenBucket(rate=500, burst=8 * KIB)
"""A packet in three seconds, after those that the burst has tokens for."""
FAST = TokenBucket(rate=12_500_000, burst=64 * KIB, mpu=625)
BURSTING = TokenBucket(rate=12_500_000, burst=567_626 * KIB, mpu=625, peak=31_875_000)
HEADERS = 28
ETHERNET = 14
SIZE = 1000
FRAME = SIZE + ETHERNET
WAITING = 3
"""Packets that fit into the queue."""
QUEUE = WAITING * FRAME
GSO = 103  # UDP_SEGMENT of linux/udp.h


def plan(*qdiscs: Qdisc, segments: int = 65535, rules: tuple[str, ...] = (), node: bool = False) -> Plan:
    sender = Namespace(
        "sender",
        node=node,
        qdiscs=frozenset(qdiscs),
        neighbours=frozenset({Neighbour("10.0.0.2", "02:00:00:00:00:02", "eth0")}),
        routes=frozenset({Route("10.0.0.2/32", "eth0")}),
        tables=(Table("filter", (Chain("OUTPUT", "ACCEPT", rules),)),) if rules else (),
    )
    receiver = Namespace(
        "receiver",
        neighbours=frozenset({Neighbour("10.0.0.1", "02:00:00:00:00:01", "eth0")}),
        routes=frozenset({Route("10.0.0.1/32", "eth0")}),
    )
    ends = End("sender", replace(SENDER, gso_max_segs=segments)), End("receiver", RECEIVER)
    return Plan("kt", (sender, receiver), (Veth(*ends),), ())


@pytest.fixture
def paths() -> Iterator[Paths]:
    with spaces("sender", "receiver") as made:
        yield made


def arrived(paths: Paths, size: int, count: int, *, port: int = 7000, segment: int | None = None) -> int:
    """How many datagrams arrive of some that are sent at once, or of one that is cut into segments."""
    with (
        namespace.socket_in(paths["receiver"], socket.AF_INET, socket.SOCK_DGRAM) as into,
        namespace.socket_in(paths["sender"], socket.AF_INET, socket.SOCK_DGRAM) as out,
    ):
        into.bind(("10.0.0.2", port))
        out.connect(("10.0.0.2", port))
        if segment is not None:
            out.setsockopt(socket.IPPROTO_UDP, GSO, segment)
        for _ in range(count):
            out.send(bytes(size - HEADERS))
        found = 0
        while select.select([into], [], [], QUIET)[0]:
            into.recv(1 << 16)
            found += 1
        return found


def classified(bucket: TokenBucket, queue: int = QUEUE) -> tuple[Htb, str]:
    """A class for datagrams to one port, and the rule that gives them to it."""
    rule = f"-o eth0 -p udp -m udp --dport 7000 -j CLASSIFY --set-class {class_id(1)}"
    return Htb("eth0", frozenset({HtbClass(1, bucket, queue)})), rule


def test_packets_pass_as_long_as_there_are_tokens_and_some_wait(paths: Paths) -> None:
    apply(plan(Tbf("eth0", SLOW, QUEUE)), paths)

    passed = SLOW.burst // FRAME
    assert arrived(paths, SIZE, 20) == passed
    assert dropped(paths["sender"]) == {("eth0", 1): 20 - passed - WAITING}


def test_a_small_packet_takes_the_tokens_of_the_minimum_packet_unit(paths: Paths) -> None:
    apply(plan(Tbf("eth0", replace(SLOW, mpu=1000), QUEUE)), paths)

    assert arrived(paths, 100, 20) == SLOW.burst // 1000


def test_a_class_holds_up_what_is_given_to_it_and_nothing_else(paths: Paths) -> None:
    htb, rule = classified(SLOW)
    apply(plan(htb, rules=(rule,)), paths)

    # A class of htb sends until its tokens are below zero: one packet more than there are tokens for.
    assert arrived(paths, SIZE, 20) == SLOW.burst // FRAME + 1
    assert dropped(paths["sender"]) == {("eth0", 1): 20 - 9 - WAITING}
    assert arrived(paths, SIZE, 20, port=7001) == 20
    assert dropped(paths["sender"]) == {("eth0", 1): 20 - 9 - WAITING}


def test_a_packet_of_many_segments_takes_the_tokens_of_one_unless_it_is_cut_before() -> None:
    """The bucket sees one packet of about 1000 bytes, or ten that take the tokens of 1000 bytes each."""
    bucket = replace(SLOW, mpu=1000)
    for segments, expected in ((65535, 10), (1, 8)):
        with spaces("sender", "between", "receiver") as three:
            apply(through(bucket, segments), three)
            assert arrived(three, 10 * 100 + HEADERS, 1, segment=100) == expected


def through(bucket: TokenBucket, segments: int) -> Plan:
    """A sender, a router with the bucket, a receiver."""
    devices = {
        name: Interface(name, frozenset(), f"02:00:00:00:00:{number:02x}", 1500)
        for number, name in enumerate(("to-left", "to-right"), 3)
    }
    between = Namespace(
        "between",
        qdiscs=frozenset({Tbf("to-right", bucket, 2000)}),
        neighbours=frozenset(
            {Neighbour("10.0.0.1", str(SENDER.mac), "to-left"), Neighbour("10.0.0.2", str(RECEIVER.mac), "to-right")}
        ),
        routes=frozenset({Route("10.0.0.1/32", "to-left"), Route("10.0.0.2/32", "to-right")}),
        sysctls={"net.ipv4.ip_forward": "1"},
    )
    sides = [
        Namespace(
            name,
            neighbours=frozenset({Neighbour("169.254.1.1", str(devices[device].mac), "eth0")}),
            routes=frozenset({Route("0.0.0.0/0", "eth0", "169.254.1.1")}),
        )
        for name, device in (("sender", "to-left"), ("receiver", "to-right"))
    ]
    veths = (
        Veth(End("sender", replace(SENDER, gso_max_segs=segments)), End("between", devices["to-left"])),
        Veth(End("receiver", RECEIVER), End("between", devices["to-right"])),
    )
    return Plan("kt", (between, *sides), veths, ())


@pytest.mark.parametrize("bucket", [SLOW, FAST, BURSTING, TokenBucket(200_000_000, 256 * KIB), TokenBucket(1000, KIB)])
def test_the_second_time_there_is_nothing_to_do(paths: Paths, bucket: TokenBucket) -> None:
    for queue in (QUEUE, 10_000_000):
        for wanted in (plan(Tbf("eth0", bucket, queue)), plan(Htb("eth0", frozenset({HtbClass(1, bucket, queue)})))):
            expected = difference(wanted, paths)
            assert apply(wanted, paths) == expected
            assert "qdisc" in {change.kind for change in expected}
            assert difference(wanted, paths) == []


DRIFT = [
    "tc qdisc delete dev eth0 root",
    "tc qdisc change dev eth0 root handle 7462: tbf rate 10mbit burst 64k limit 3",
    "tc qdisc replace dev eth0 parent 7462:1 handle 9: pfifo limit 4",
    "tc qdisc replace dev eth0 parent 7462:1 handle 7463: bfifo limit 3",
    "tc qdisc replace dev eth0 root handle 1: htb",
    "tc qdisc replace dev eth0 parent 7462:1 handle 9: pfifo limit 9",
    "tc qdisc replace dev eth0 root handle 1: pfifo limit 9",
]


@pytest.mark.parametrize("command", DRIFT)
@pytest.mark.parametrize("node", [False, True])
def test_an_accident_with_a_bucket_is_repaired(paths: Paths, command: str, *, node: bool) -> None:
    wanted = plan(Tbf("eth0", FAST, QUEUE), node=node)
    apply(wanted, paths)
    sh(paths["sender"], command)

    assert {(change.namespace, change.kind) for change in apply(wanted, paths)} == {("sender", "qdisc")}
    assert difference(wanted, paths) == []
    assert "rate 100Mbit burst 64Kb/1 mpu 625b" in sh(paths["sender"], "tc -details qdisc show dev eth0")


CLASS_DRIFT = [
    "tc class change dev eth0 classid 7462:1 htb rate 10mbit",
    "tc class add dev eth0 parent 7462: classid 7462:5 htb rate 10mbit",
    "tc qdisc replace dev eth0 parent 7462:1 handle 9: pfifo limit 4",
    "tc qdisc delete dev eth0 root",
    "tc qdisc replace dev eth0 root handle 1: tbf rate 10mbit burst 64k limit 3",
]


@pytest.mark.parametrize("command", CLASS_DRIFT)
def test_an_accident_with_a_class_is_repaired(paths: Paths, command: str) -> None:
    htb, rule = classified(FAST)
    wanted = plan(htb, rules=(rule,))
    apply(wanted, paths)
    sh(paths["sender"], command)

    assert {(change.namespace, change.kind) for change in apply(wanted, paths)} == {("sender", "qdisc")}
    assert difference(wanted, paths) == []
    assert arrived(paths, SIZE, 20) == 20


def test_a_discipline_that_the_plan_dropped_is_removed_and_a_nodes_own_is_left(paths: Paths) -> None:
    apply(plan(Tbf("eth0", FAST, QUEUE), node=True), paths)
    apply(plan(node=True), paths)
    assert "tbf" not in sh(paths["sender"], "tc qdisc show dev eth0")

    sh(paths["sender"], "tc qdisc add dev eth0 root handle 1: tbf rate 10mbit burst 64k limit 64k")
    assert difference(plan(node=True), paths) == []
    assert [change.kind for change in difference(plan(), paths)] == ["qdisc"]


def test_how_many_segments_a_packet_may_have_is_as_planned_and_stays_so(paths: Paths) -> None:
    for segments in (1, 16, 65535):
        wanted = plan(segments=segments)
        apply(wanted, paths)
        assert ip(paths["sender"], "link show dev eth0")[0]["gso_max_segs"] == segments
        assert difference(wanted, paths) == []

    sh(paths["sender"], "ip link set eth0 gso_max_segs 7")
    (change,) = apply(plan(), paths)
    assert change.what == "eth0: gso_max_segs 7 -> 65535"
