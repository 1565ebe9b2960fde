"""A `gate` that a `client` talks to: what is let in is counted, and stays counted when the rules around it change."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed.errors import Internal
from testbed.fabric.plan import Chain, End, Interface, IpSet, KernelRoute, Namespace, Plan, Table, Veth
from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference
from testbed.kernel.change import KernelChange
from testbed.kernel.command import CommandFailed
from testbed.kernel.firewall import counters, members
from tests.kernel.spaces import Paths, sh, spaces
from tests.waiting import eventually

CLIENTS = IpSet("tb-c11e", "hash:net", frozenset({"10.0.0.0/30", "192.0.2.1"}), counters=True)
SERVERS = IpSet("tb-5e4f", "hash:ip,port", frozenset({"10.0.1.1,udp:53"}))
PORTS = IpSet("tb-9047", "bitmap:port", frozenset({"53", "667"}))
LET_IN = '-m set --match-set tb-c11e src -m comment --comment "allow \\"clients\\" in" -j ACCEPT'
JUMP = "-p udp -m set --match-set tb-9047 dst -m comment --comment ports -j guard"
REJECT = "-j REJECT --reject-with icmp-port-unreachable"
FILTER = Table("filter", (Chain("INPUT", "DROP", (JUMP,)), Chain("guard", None, (LET_IN,))))
MANGLE = Table("mangle", (Chain("PREROUTING", "ACCEPT", ("-s 10.0.0.1/32 -j MARK --set-xmark 0x1/0xffffffff",)),))
GATE = Namespace(
    "gate",
    loopback=frozenset({"10.0.1.1/32"}),
    routes=frozenset({KernelRoute("10.0.0.1/32", "in0")}),
    sets=frozenset({CLIENTS, PORTS}),
    tables=(FILTER, MANGLE),
)
CLIENT = Namespace("client", routes=frozenset({KernelRoute("10.0.1.1/32", "out0")}))
VETH = Veth(
    End("gate", Interface("in0", frozenset({"10.0.2.1/32"}), "02:00:00:00:00:01")),
    End("client", Interface("out0", frozenset({"10.0.0.1/32"}), "02:00:00:00:00:02")),
)


def plan(gate: Namespace) -> Plan:
    return Plan("kt", (gate, CLIENT), (VETH,), ())


@pytest.fixture
def paths() -> Iterator[Paths]:
    with spaces("gate", "client") as made:
        yield made


@pytest.fixture
def applied(paths: Paths) -> Paths:
    apply(plan(GATE), paths)
    return paths


def send(paths: Paths, count: int, port: int = 53) -> None:
    with namespace.socket_in(paths["client"], socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(count):
            client.sendto(b"?", ("10.0.1.1", port))


def counted(paths: Paths, rule: str) -> int:
    return next(counter.packets for counter in counters(paths["gate"]) if counter.rule == rule)


def sets(paths: Paths) -> list[str]:
    return sorted(sh(paths["gate"], "ipset list -n").split())


def test_rules_and_members_count_what_matched(applied: Paths) -> None:
    send(applied, 3)
    send(applied, 2, port=54)
    eventually(lambda: counted(applied, LET_IN) == 3, "three packets counted")

    found = {counter.rule: counter for counter in counters(applied["gate"])}
    assert (found[LET_IN].table, found[LET_IN].chain) == ("filter", "guard")
    assert found[LET_IN].comment == 'allow "clients" in'
    assert found[JUMP].comment == "ports"
    assert found[JUMP].bytes == 3 * (20 + 8 + 1)
    assert found[MANGLE.chains[0].rules[0]].comment == ""
    hits = members(applied["gate"], "tb-c11e")
    assert (hits["10.0.0.0/30"].packets, hits["192.0.2.1"].packets) == (3, 0)
    assert members(applied["gate"], "tb-none") == {}


def test_the_second_time_there_is_nothing_to_do(applied: Paths) -> None:
    send(applied, 1)  # counters are no difference
    assert apply(plan(GATE), applied) == []


def test_rules_that_stay_keep_their_counters(applied: Paths) -> None:
    send(applied, 3)
    eventually(lambda: counted(applied, LET_IN) == 3, "three packets counted")
    more = Table("filter", (FILTER.chains[0], Chain("guard", None, ("-s 10.9.9.9/32 -j DROP", LET_IN, LET_IN))))

    [change] = apply(plan(replace(GATE, tables=(more, MANGLE))), applied)

    assert change == KernelChange("gate", "replace", "table", "filter (+2 -0 rules)")
    assert [c.packets for c in counters(applied["gate"]) if c.table == "filter"] == [3, 0, 3, 0]
    assert counted(applied, MANGLE.chains[0].rules[0]) == 3


DRIFT = [
    ("iptables -F guard", KernelChange("gate", "replace", "table", "filter (+1 -0 rules)")),
    ("iptables -P INPUT ACCEPT", KernelChange("gate", "replace", "table", "filter (+0 -0 rules)")),
    ("iptables -P FORWARD DROP", KernelChange("gate", "replace", "table", "filter (+0 -0 rules)")),
    ("iptables -I INPUT -j ACCEPT", KernelChange("gate", "replace", "table", "filter (+0 -1 rules)")),
    ("iptables -t nat -A POSTROUTING -j MASQUERADE", KernelChange("gate", "replace", "table", "nat (+0 -1 rules)")),
    ("iptables -t mangle -F", KernelChange("gate", "replace", "table", "mangle (+1 -0 rules)")),
    ("ipset del tb-c11e 192.0.2.1", KernelChange("gate", "replace", "set", "tb-c11e (2 members)")),
    ("ipset add tb-9047 80", KernelChange("gate", "replace", "set", "tb-9047 (2 members)")),
    ("ipset create tb-01d hash:ip", KernelChange("gate", "delete", "set", "tb-01d")),
]


@pytest.mark.parametrize(("command", "change"), DRIFT, ids=[command for command, _ in DRIFT])
def test_an_accident_is_repaired_and_nothing_else_touched(applied: Paths, command: str, change: KernelChange) -> None:
    sh(applied["gate"], command)

    assert apply(plan(GATE), applied) == [change]
    assert difference(plan(GATE), applied) == []


def test_sets_of_others_are_left_alone(applied: Paths) -> None:
    sh(applied["gate"], "ipset create others hash:ip")

    assert apply(plan(GATE), applied) == []


def test_new_content_is_a_new_set_and_the_old_one_goes(applied: Paths) -> None:
    changed = IpSet("tb-c12f", "hash:net", frozenset({"10.0.0.1"}), counters=True)
    let_in = LET_IN.replace("tb-c11e", "tb-c12f")
    table = Table("filter", (FILTER.chains[0], Chain("guard", None, (let_in,))))
    gate = replace(GATE, sets=frozenset({changed, PORTS}), tables=(table, MANGLE))

    made = apply(plan(gate), applied)

    assert [(change.verb, change.kind) for change in made] == [("add", "set"), ("replace", "table"), ("delete", "set")]
    assert sets(applied) == ["tb-9047", "tb-c12f"]
    send(applied, 2)
    eventually(lambda: counted(applied, let_in) == 2, "two packets counted")


def test_a_large_set_is_no_problem(applied: Paths) -> None:
    members = frozenset(f"10.{a}.{b}.{c}" for a in range(7) for b in range(100) for c in range(100))
    gate = replace(GATE, sets=GATE.sets | {IpSet("tb-1a46e", "hash:ip", members)})

    apply(plan(gate), applied)

    assert difference(plan(gate), applied) == []


@pytest.mark.parametrize(
    ("rule", "line", "reason"),
    [
        ("-p tcp -m nonesuch -j ACCEPT", "-A OUTPUT -p tcp -m nonesuch -j ACCEPT", "nonesuch"),
        ("-p tcp -m tcp --dport x -j ACCEPT", "-A OUTPUT -p tcp -m tcp --dport x -j ACCEPT", "invalid port"),
        ("-m set --match-set tb-no src", "-A OUTPUT -m set --match-set tb-no src", "Set tb-no doesn't exist"),
        ("-j nowhere", "COMMIT", "nowhere"),  # iptables looks for chains at the end
    ],
)
def test_a_refused_rule_is_shown_and_nothing_is_half_done(applied: Paths, rule: str, line: str, reason: str) -> None:
    send(applied, 3)
    eventually(lambda: counted(applied, LET_IN) == 3, "three packets counted")
    bad = Table("mangle", (*MANGLE.chains, Chain("OUTPUT", "ACCEPT", (rule,))))
    good = Table("filter", (*FILTER.chains, Chain("FORWARD", "DROP", (REJECT,))))
    gate = replace(GATE, sets=GATE.sets | {SERVERS}, tables=(good, bad))

    with pytest.raises(CommandFailed) as caught:
        apply(plan(gate), applied)

    assert f"iptables refused `{line}` of table mangle: " in caught.value.message
    assert reason in caught.value.message
    assert sets(applied) == ["tb-9047", "tb-c11e"]
    assert difference(plan(GATE), applied) == []
    assert counted(applied, LET_IN) == 3


def test_a_refused_member_is_shown_and_no_new_set_remains(applied: Paths) -> None:
    bad = IpSet("tb-bad", "hash:net", frozenset({"10.0.0.0/33"}))

    with pytest.raises(CommandFailed, match=r"ipset refused `add tb-bad 10\.0\.0\.0/33`"):
        apply(plan(replace(GATE, sets=GATE.sets | {SERVERS, bad})), applied)

    assert sets(applied) == ["tb-9047", "tb-c11e"]


def test_a_rule_cannot_smuggle_in_a_second_line(applied: Paths) -> None:
    rule = "-j ACCEPT\n-A INPUT -j ACCEPT"
    gate = replace(GATE, tables=(Table("filter", (Chain("INPUT", "DROP", (rule,)),)), MANGLE))

    with pytest.raises(Internal, match="has a line break"):
        apply(plan(gate), applied)

    assert difference(plan(GATE), applied) == []


def test_a_node_may_have_tables_of_its_own(paths: Paths) -> None:
    node = replace(GATE, node=True, tables=(FILTER,))
    apply(plan(node), paths)
    sh(paths["gate"], "iptables -t nat -A POSTROUTING -j MASQUERADE")

    assert apply(plan(node), paths) == []

    sh(paths["gate"], "iptables -F guard")
    assert len(apply(plan(node), paths)) == 1
