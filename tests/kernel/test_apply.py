"""The plan of these tests: a `router` between two hosts, `left` and `right`; `right` is a node's namespace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.errors import Internal, NotFound, Unimplemented
from testbed.fabric.plan import (
    End,
    Interface,
    KernelRoute,
    Namespace,
    Neighbour,
    Plan,
    RoutingRule,
    Veth,
)
from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference
from testbed.kernel.change import KernelChange
from tests.kernel.spaces import Paths, answering, ask, ip, sh, spaces
from tests.waiting import PATIENCE

GATEWAY = "169.254.1.1"
LEFT = Interface("eth0", frozenset({"10.0.0.1/32"}), "02:00:00:00:00:01", 1460)
RIGHT = Interface("eth0", frozenset({"10.0.0.2/32"}), "02:00:00:00:00:02", 1460)
TO_LEFT = Interface("to-left", frozenset({f"{GATEWAY}/32"}), "02:00:00:00:00:11", 1460)
TO_RIGHT = Interface("to-right", frozenset({f"{GATEWAY}/32"}), "02:00:00:00:00:12", 1460)


def host(name: str, mac: str, *, node: bool = False) -> Namespace:
    return Namespace(
        name,
        node=node,
        loopback=frozenset({"192.0.2.1/32"}),
        neighbours=frozenset({Neighbour(GATEWAY, mac, "eth0")}),
        routes=frozenset(
            {
                KernelRoute("0.0.0.0/0", "eth0", GATEWAY),
                KernelRoute("172.16.0.0/12", kind="unreachable", metric=7),
                KernelRoute("0.0.0.0/0", table=100, kind="blackhole"),
            }
        ),
        rules=frozenset({RoutingRule(100, "192.0.2.0/24", 100)}),
    )


ROUTER = Namespace(
    "router",
    neighbours=frozenset(
        {Neighbour("10.0.0.1", "02:00:00:00:00:01", "to-left"), Neighbour("10.0.0.2", "02:00:00:00:00:02", "to-right")}
    ),
    routes=frozenset({KernelRoute("10.0.0.1/32", "to-left"), KernelRoute("10.0.0.2/32", "to-right")}),
    sysctls={"net.ipv4.ip_forward": "1", "net.ipv4.conf.to-left.proxy_arp": "1"},
)
PLAN = Plan(
    "kt",
    (ROUTER, host("left", "02:00:00:00:00:11"), host("right", "02:00:00:00:00:12", node=True)),
    (Veth(End("router", TO_LEFT), End("left", LEFT)), Veth(End("right", RIGHT), End("router", TO_RIGHT))),
    (),
)


def with_namespace(plan: Plan, changed: Namespace) -> Plan:
    return replace(plan, namespaces=tuple(changed if s.name == changed.name else s for s in plan.namespaces))


def namespace_of(plan: Plan, name: str) -> Namespace:
    return next(space for space in plan.namespaces if space.name == name)


def without_right(plan: Plan) -> Plan:
    routes = frozenset({KernelRoute("10.0.0.1/32", "to-left")})
    neighbours = frozenset(n for n in ROUTER.neighbours if n.device == "to-left")
    router = replace(ROUTER, routes=routes, neighbours=neighbours)
    right = Namespace("right", node=True)
    return replace(with_namespace(with_namespace(plan, router), right), veths=plan.veths[:1])


@pytest.fixture
def paths() -> Iterator[Paths]:
    with spaces("router", "left", "right") as made:
        yield made


@pytest.fixture
def applied(paths: Paths) -> Paths:
    apply(PLAN, paths)
    return paths


def answers(paths: Paths) -> bool:
    """A connection from left to right and back works."""
    with (
        answering(paths["right"], ("10.0.0.2", 80), "right"),
        namespace.connect(paths["left"], ("10.0.0.2", 80), PATIENCE) as connection,
    ):
        return ask(connection) == "right" and connection.getsockname()[0] == "10.0.0.1"


def test_packets_flow_as_planned(applied: Paths) -> None:
    assert answers(applied)


def test_the_second_time_there_is_nothing_to_do(applied: Paths) -> None:
    assert difference(PLAN, applied) == []
    assert apply(PLAN, applied) == []


def test_difference_tells_what_apply_does_and_does_nothing(paths: Paths) -> None:
    expected = difference(PLAN, paths)
    assert difference(PLAN, paths) == expected

    made = apply(PLAN, paths)

    assert made == expected
    assert KernelChange("router", "add", "veth", "to-left -- left/eth0") in made
    assert KernelChange("left", "add", "route", "0.0.0.0/0 via 169.254.1.1 dev eth0 onlink table 254") in made
    assert KernelChange("router", "replace", "sysctl", "net.ipv4.conf.to-left.proxy_arp = 1") in made


def test_nothing_appears_in_the_hosts_namespace(paths: Paths) -> None:
    before = {link.name for link in Path("/sys/class/net").iterdir()}
    apply(PLAN, paths)
    assert {link.name for link in Path("/sys/class/net").iterdir()} == before


def test_devices_have_what_the_plan_says(applied: Paths) -> None:
    [link] = ip(applied["left"], "address show dev eth0")

    assert (link["address"], link["mtu"], link["ifalias"]) == ("02:00:00:00:00:01", 1460, "testbed:router/to-left")
    assert "UP" in link["flags"]
    assert [(a["local"], a["prefixlen"]) for a in link["addr_info"]] == [("10.0.0.1", 32)]  # and nothing of IPv6


def test_per_device_sysctls_are_set_once_the_device_is_there(applied: Paths) -> None:
    assert sh(applied["router"], "cat /proc/sys/net/ipv4/conf/to-left/proxy_arp").strip() == "1"


DRIFT = [
    ("left", "ip route delete default", "add", "route"),
    ("left", "ip route replace default dev eth0", "replace", "route"),
    ("left", "ip route add 198.51.100.0/24 dev eth0", "delete", "route"),
    ("left", "ip route append blackhole 0.0.0.0/0 metric 9", "delete", "route"),
    ("left", "ip route flush table 100", "add", "route"),
    ("left", "ip link set eth0 mtu 1500", "replace", "link"),
    ("left", "ip address add 10.0.0.9/32 dev eth0", "delete", "address"),
    ("left", "ip address delete 192.0.2.1/32 dev lo", "add", "address"),
    ("left", "ip rule delete priority 100", "add", "rule"),
    ("left", "ip rule add priority 50 from 10.0.0.0/8 table 100", "delete", "rule"),
    ("left", "ip neighbour flush dev eth0 nud permanent", "add", "neighbour"),
    (
        "router",
        "ip neighbour replace 10.0.0.1 lladdr 02:00:00:00:00:98 dev to-left nud permanent",
        "replace",
        "neighbour",
    ),
    (
        "router",
        "ip neighbour replace 10.0.0.7 lladdr 02:00:00:00:00:98 dev to-left nud permanent",
        "delete",
        "neighbour",
    ),
    ("router", "sysctl -q -w net.ipv4.ip_forward=0", "replace", "sysctl"),
    ("router", "ip link add stray type veth peer name yarts", "delete", "veth"),
    ("right", "ip route delete default", "add", "route"),
]


@pytest.mark.parametrize(("space", "command", "verb", "kind"), DRIFT, ids=[f"{d[0]}: {d[1]}" for d in DRIFT])
def test_an_accident_is_repaired_and_nothing_else_touched(
    applied: Paths, space: str, command: str, verb: str, kind: str
) -> None:
    sh(applied[space], command)

    made = apply(PLAN, applied)

    assert {(change.namespace, change.verb, change.kind) for change in made} == {(space, verb, kind)}
    assert len(made) == (2 if "stray" in command else 1)  # a stray pair has two ends
    assert difference(PLAN, applied) == []


@pytest.mark.parametrize(
    ("space", "command", "verb", "kind"),
    [
        ("left", "ip link set eth0 down", "replace", "link"),
        ("left", "ip link set eth0 address 02:00:00:00:00:99", "replace", "link"),
        ("right", "ip address delete 10.0.0.2/32 dev eth0", "add", "address"),
        ("router", "ip link delete to-left", "add", "veth"),
    ],
)
def test_what_the_kernel_removed_along_with_it_is_repaired_too(
    applied: Paths, space: str, command: str, verb: str, kind: str
) -> None:
    sh(applied[space], command)  # takes routes or neighbours along

    made = apply(PLAN, applied)

    assert (space, verb, kind) in {(change.namespace, change.verb, change.kind) for change in made}
    assert difference(PLAN, applied) == []
    assert answers(applied)


def test_a_stale_neighbour_that_goes_with_its_device_is_no_error(applied: Paths) -> None:
    sh(applied["left"], "ip neighbour replace 10.0.0.7 lladdr 02:00:00:00:00:98 dev eth0 nud permanent")
    sh(applied["left"], "ip link set eth0 alias testbed:elsewhere/eth0")  # so that it is made anew

    apply(PLAN, applied)

    assert difference(PLAN, applied) == []
    assert answers(applied)


def test_a_veth_that_was_deleted_comes_back(applied: Paths) -> None:
    sh(applied["left"], "ip link delete eth0")

    made = apply(PLAN, applied)

    assert made[0] == KernelChange("router", "add", "veth", "to-left -- left/eth0")
    assert difference(PLAN, applied) == []
    assert answers(applied)


def test_a_veth_whose_end_was_moved_away_is_made_anew(applied: Paths) -> None:
    sh(applied["left"], f"ip link set eth0 netns {applied['router']}")

    apply(PLAN, applied)

    assert difference(PLAN, applied) == []
    assert answers(applied)


def test_a_veth_without_our_alias_is_not_taken_for_the_planned_one(paths: Paths) -> None:
    sh(paths["left"], "ip tuntap add eth0 mode tap")
    sh(paths["router"], f"ip link add to-left type veth peer name x netns {paths['right']}")

    apply(PLAN, paths)

    assert difference(PLAN, paths) == []
    assert answers(paths)
    assert [link["ifname"] for link in ip(paths["right"], "link show")] == ["lo", "eth0"]


def test_a_cable_that_is_replugged_is_made_anew_though_all_names_stay(applied: Paths) -> None:
    swapped = replace(
        PLAN,
        veths=(Veth(End("router", TO_RIGHT), End("left", LEFT)), Veth(End("right", RIGHT), End("router", TO_LEFT))),
    )
    router = replace(
        ROUTER,
        neighbours=frozenset(
            {
                Neighbour("10.0.0.2", "02:00:00:00:00:02", "to-left"),
                Neighbour("10.0.0.1", "02:00:00:00:00:01", "to-right"),
            }
        ),
        routes=frozenset({KernelRoute("10.0.0.2/32", "to-left"), KernelRoute("10.0.0.1/32", "to-right")}),
    )
    plan = with_namespace(swapped, router)
    plan = with_namespace(plan, host("left", "02:00:00:00:00:12"))
    plan = with_namespace(plan, host("right", "02:00:00:00:00:11", node=True))

    apply(plan, applied)

    assert difference(plan, applied) == []
    assert answers(applied)


def test_a_node_that_goes_takes_its_veth_routes_and_neighbours_along(applied: Paths) -> None:
    plan = without_right(PLAN)

    apply(plan, applied)

    assert difference(plan, applied) == []
    assert [link["ifname"] for link in ip(applied["router"], "link show")] == ["lo", "to-left"]
    assert [route["dst"] for route in ip(applied["router"], "route show")] == ["10.0.0.1"]
    apply(PLAN, applied)
    assert answers(applied)


def test_a_veth_between_nodes_that_the_plan_dropped_is_removed() -> None:
    ends = End("a", Interface("x")), End("b", Interface("y"))
    plan = Plan("kt", (Namespace("a", node=True), Namespace("b", node=True)), (Veth(*ends),), ())
    with spaces("a", "b") as paths:
        apply(plan, paths)
        apply(replace(plan, veths=()), paths)
        assert [link["ifname"] for link in ip(paths["a"], "link show")] == ["lo"]


def test_what_a_nodes_own_programs_set_up_is_left_alone(applied: Paths) -> None:
    for command in (
        "ip tuntap add ipsec0 mode tun",
        "ip link set ipsec0 up",
        "ip route add 10.77.0.0/16 dev ipsec0 table 220 protocol static",
        "ip route add 10.78.0.0/16 dev eth0 protocol bird",
        "ip rule add priority 220 from all table 220",
        "ip nexthop add id 5 dev eth0",
        "iptables -A INPUT -j ACCEPT",
    ):
        sh(applied["right"], command)

    assert difference(PLAN, applied) == []
    assert apply(PLAN, applied) == []


def test_an_address_that_moves_to_another_prefix_length_keeps_its_routes(applied: Paths) -> None:
    right = replace(RIGHT, addresses=frozenset({"10.0.0.2/31"}))
    routed = replace(
        namespace_of(PLAN, "right"), routes=frozenset({KernelRoute("0.0.0.0/0", "eth0", GATEWAY, source="10.0.0.2")})
    )
    plan = with_namespace(replace(PLAN, veths=(PLAN.veths[0], Veth(End("right", right), PLAN.veths[1].b))), routed)

    apply(plan, applied)

    assert difference(plan, applied) == []
    assert answers(applied)


def test_a_route_is_replaced_without_a_hole(applied: Paths) -> None:
    left = namespace_of(PLAN, "left")
    default = KernelRoute("0.0.0.0/0", "eth0", GATEWAY)
    plans = [
        with_namespace(PLAN, replace(left, routes=left.routes - {default} | {replace(default, source=source)}))
        for source in ("10.0.0.1", "192.0.2.1")
    ]
    done = threading.Event()

    def look() -> int:
        count = 0
        while not done.is_set():
            assert ip(applied["left"], "route get 8.8.8.8")[0]["gateway"] == GATEWAY
            count += 1
        return count

    looked: list[int] = []
    looking = threading.Thread(target=lambda: looked.append(look()))
    looking.start()
    for _ in range(10):
        for plan in plans:
            [change] = apply(plan, applied)
            assert (change.verb, change.kind) == ("replace", "route")
    done.set()
    looking.join()

    assert looked[0] > 10


def test_a_namespace_without_a_path_is_not_found(paths: Paths) -> None:
    with pytest.raises(NotFound, match="none is known for left, right"):
        apply(PLAN, {"router": paths["router"]})


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (
            KernelRoute("10.9.0.0/16", "eth7"),
            r"10\.9\.0\.0/16 dev eth7 table 254: the kernel refused it: no interface with this name",
        ),
        (
            KernelRoute("10.9.0.1/16", "eth0"),
            r"10\.9\.0\.1/16 dev eth0 .* refused it: .*Invalid prefix for given prefix length",
        ),
        (KernelRoute("10.9.0.0/16", nexthop=7), r"10\.9\.0\.0/16 nhid 7 .* refused it: .*Nexthop id does not exist"),
    ],
)
def test_a_refusal_tells_where_what_and_why(paths: Paths, route: KernelRoute, reason: str) -> None:
    left = replace(namespace_of(PLAN, "left"), routes=frozenset({route}))

    with pytest.raises(Internal, match=f"left: add route {reason}"):
        apply(with_namespace(PLAN, left), paths)

    apply(PLAN, paths)  # goes on from there
    assert answers(paths)


def test_what_the_kernel_takes_but_tells_differently_is_a_defect(paths: Paths) -> None:
    left = replace(
        namespace_of(PLAN, "left"), neighbours=frozenset({Neighbour("10.0.0.9", "02:00:00:00:00:AB", "eth0")})
    )

    with pytest.raises(Internal, match=r"after 3 attempts; first difference: .*02:00:00:00:00:AB"):
        apply(with_namespace(PLAN, left), paths)


def test_an_unknown_sysctl_is_named(paths: Paths) -> None:
    left = replace(namespace_of(PLAN, "left"), sysctls={"net.ipv4.no_such_thing": "1"})

    with pytest.raises(Unimplemented, match=r"sysctl net\.ipv4\.no_such_thing: this kernel"):
        apply(with_namespace(PLAN, left), paths)
