"""Connector-like tunnels: a `runtime` reaches one address, 10.100.0.1, that is served behind each of the instances.

Its packets are spread by a `spreader` that forwards them.  (A socket keeps the route that it was connected by, and the
kernel may choose another member when it looks again; for packets that are forwarded it looks at each, and alike.)
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.fabric.plan import (
    End,
    Interface,
    KernelRoute,
    Namespace,
    Neighbour,
    Nexthop,
    NexthopGroup,
    Plan,
    Tunnel,
    Veth,
)
from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference, reroute
from testbed.kernel.change import KernelChange
from tests.kernel.spaces import Paths, answering, ask, ip, sh, spaces
from tests.waiting import PATIENCE, eventually

INSTANCES = ("i1", "i2", "i3")
SERVICE = ("10.100.0.1", 80)
RUNTIME = "35.199.224.2"
TUN = Tunnel(Interface("tun0", mtu=1410), 665)
LOOSE = {"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
GROUP = 10
BUCKETS = 64
IDLE = 1
FLOWS = 24


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def instance(number: int) -> Namespace:
    return Namespace(
        INSTANCES[number],
        loopback=frozenset({f"{SERVICE[0]}/32"}),
        tunnels=frozenset({TUN}),
        neighbours=frozenset({Neighbour(RUNTIME, mac(number), "eth0")}),
        routes=frozenset({KernelRoute(f"{RUNTIME}/32", "eth0")}),
        sysctls=LOOSE,
    )


def spreader(members: Sequence[int], *, buckets: int = BUCKETS) -> Namespace:
    return Namespace(
        "spreader",
        tunnels=frozenset({TUN}),
        loopback=frozenset({"35.199.224.1/32"}),
        neighbours=frozenset(
            {
                Neighbour(RUNTIME, mac(33), "in0"),
                *(Neighbour(f"10.8.0.{n}", mac(16 + n), f"p{n}") for n in range(3)),
            }
        ),
        nexthops=frozenset(Nexthop(1 + n, "tun0", 77, f"10.8.0.{n}") for n in members),
        groups=frozenset({NexthopGroup(GROUP, tuple(1 + n for n in members), buckets, IDLE)}),
        routes=frozenset(
            {
                *(KernelRoute(f"10.8.0.{n}/32", f"p{n}") for n in range(3)),
                KernelRoute(f"{RUNTIME}/32", "in0"),
                KernelRoute("10.100.0.0/16", nexthop=GROUP),
                *(KernelRoute(f"10.101.{n}.0/24", nexthop=1 + n) for n in members),
            }
        ),
        sysctls={**LOOSE, "net.ipv4.ip_forward": "1", "net.ipv4.fib_multipath_hash_policy": "1"},
    )


CLIENT = Namespace(
    "runtime",
    neighbours=frozenset({Neighbour("35.199.224.1", mac(32), "eth0")}),
    routes=frozenset({KernelRoute("0.0.0.0/0", "eth0", "35.199.224.1")}),
    sysctls=LOOSE,
)


def plan(members: Sequence[int], *, buckets: int = BUCKETS) -> Plan:
    inward = Veth(
        End("spreader", Interface("in0", mac=mac(32), mtu=1460)),
        End("runtime", Interface("eth0", frozenset({f"{RUNTIME}/32"}), mac(33), 1410)),
    )
    outward = (
        Veth(
            End("spreader", Interface(f"p{n}", mac=mac(n), mtu=1460)),
            End(INSTANCES[n], Interface("eth0", frozenset({f"10.8.0.{n}/32"}), mac(16 + n), 1460)),
        )
        for n in range(3)
    )
    spaces = (spreader(members, buckets=buckets), CLIENT, *map(instance, range(3)))
    return Plan("kt", spaces, (inward, *outward), ())


@pytest.fixture
def paths() -> Iterator[Paths]:
    with spaces("spreader", "runtime", *INSTANCES) as made:
        yield made


@pytest.fixture
def served(paths: Paths) -> Iterator[Paths]:
    """Instances 0 and 1 are members of the group; all three serve."""
    apply(plan((0, 1)), paths)
    with ExitStack() as stack:
        for name in INSTANCES:
            stack.enter_context(answering(paths[name], SERVICE, name))
        yield paths


@pytest.fixture
def flows(served: Paths) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(namespace.connect(served["runtime"], SERVICE, PATIENCE)) for _ in range(FLOWS)]


def namespace_of(plan: Plan, name: str) -> Namespace:
    return next(space for space in plan.namespaces if space.name == name)


def new_flow(paths: Paths) -> str:
    """The instance that a new connection goes to."""
    with namespace.connect(paths["runtime"], SERVICE, PATIENCE) as connection:
        return ask(connection)


def test_the_tunnel_is_a_layer_3_device_that_learns_nothing(served: Paths) -> None:
    [link] = ip(served["spreader"], "link show dev tun0")
    data = link["linkinfo"]["info_data"]

    assert (data["external"], data["gpe"], data["port"], data["learning"]) == (True, True, 665, False)
    assert data["port_range"] == {"low": 665, "high": 666}
    assert (link["link_type"], link["mtu"]) == ("none", 1410)
    assert "address" not in link


def test_a_group_and_its_routes_are_as_planned_and_stay_so(served: Paths) -> None:
    assert apply(plan((0, 1)), served) == []


@pytest.mark.behaviour("2.1.2")
def test_flows_are_spread_over_the_members_and_stay(flows: list[socket.socket]) -> None:
    first = [ask(flow) for flow in flows]

    assert set(first) == {"i1", "i2"}
    assert [ask(flow) for flow in flows] == first


def test_a_new_member_gets_new_flows_and_no_running_one(served: Paths, flows: list[socket.socket]) -> None:
    before = [ask(flow) for flow in flows]

    made = apply(plan((0, 1, 2)), served)

    assert [(change.verb, change.kind) for change in made] == [
        ("add", "nexthop"),
        ("replace", "group"),
        ("add", "route"),
    ]

    def spread() -> bool:
        assert [ask(flow) for flow in flows] == before  # which keeps them busy, too
        return new_flow(served) == "i3"

    eventually(spread, "a new flow on the new member")
    assert [ask(flow) for flow in flows] == before


def test_only_the_flows_of_a_member_that_leaves_are_moved(served: Paths, flows: list[socket.socket]) -> None:
    before = [ask(flow) for flow in flows]

    made = apply(plan((0,)), served)

    assert [(change.verb, change.kind) for change in made] == [
        ("replace", "group"),
        ("delete", "route"),
        ("delete", "nexthop"),
    ]
    for flow, name in zip(flows, before, strict=True):
        if name == "i1":
            assert ask(flow) == "i1"
        else:  # i1 knows nothing of this connection
            with pytest.raises(ConnectionResetError):
                ask(flow)
    assert {new_flow(served) for _ in range(5)} == {"i1"}


def test_rerouting_one_namespace_is_all_that_a_new_flow_needs(served: Paths, flows: list[socket.socket]) -> None:
    before = [ask(flow) for flow in flows]
    namespace.delete(Path(served["i2"]).name)  # it is dead, and nothing that needs it could be applied

    reroute(namespace_of(plan((0,)), "spreader"), served["spreader"])

    assert {new_flow(served) for _ in range(5)} == {"i1"}
    assert [ask(flow) for flow, name in zip(flows, before, strict=True) if name == "i1"] == ["i1"] * before.count("i1")


def test_any_change_of_routes_leaves_running_flows_alone(served: Paths, flows: list[socket.socket]) -> None:
    before = [ask(flow) for flow in flows]

    for command in ("ip route add blackhole 10.102.0.0/16", "ip route flush cache"):
        sh(served["spreader"], command)
        assert [ask(flow) for flow in flows] == before


def test_a_group_of_another_size_is_made_anew_with_its_routes(served: Paths) -> None:
    made = apply(plan((0, 1), buckets=2 * BUCKETS), served)

    assert {(change.verb, change.kind) for change in made} == {("delete", "group"), ("add", "group"), ("add", "route")}
    assert new_flow(served) in ("i1", "i2")


@pytest.mark.parametrize(
    ("command", "repaired"),
    [
        ("ip nexthop delete id 2", {("add", "nexthop"), ("replace", "group"), ("add", "route")}),
        ("ip nexthop delete id 10", {("add", "group"), ("add", "route")}),
        ("ip nexthop flush", {("add", "nexthop"), ("add", "group"), ("add", "route")}),
        ("ip nexthop add id 11 blackhole", {("delete", "nexthop")}),
        ("ip nexthop replace id 1 encap ip id 78 dst 10.8.0.0 dev tun0", {("replace", "nexthop")}),
        ("ip nexthop replace id 10 group 1 type resilient buckets 64 idle_timer 1", {("replace", "group")}),
        ("ip nexthop replace id 10 group 1/2 type resilient buckets 64 idle_timer 9", {("replace", "group")}),
    ],
)
def test_an_accident_is_repaired(served: Paths, command: str, repaired: set[tuple[str, str]]) -> None:
    sh(served["spreader"], command)

    made = apply(plan((0, 1)), served)

    assert {(change.verb, change.kind) for change in made} == repaired
    assert {change.namespace for change in made} == {"spreader"}
    assert new_flow(served) in ("i1", "i2")


@pytest.mark.parametrize(
    "tunnel",
    [
        "link add tun0 type vxlan external gpe dstport 666",
        "link add tun0 type vxlan external dstport 665",
        "link add tun0 type vxlan id 7 dstport 665",
    ],
)
def test_a_tunnel_that_is_not_as_planned_is_made_anew(served: Paths, tunnel: str) -> None:
    sh(served["spreader"], "ip link delete tun0")
    sh(served["spreader"], f"ip {tunnel}")
    sh(served["spreader"], "ip link set tun0 alias testbed:tunnel up")

    made = apply(plan((0, 1)), served)

    assert KernelChange("spreader", "delete", "vxlan", "tun0") in made
    assert difference(plan((0, 1)), served) == []
    assert new_flow(served) in ("i1", "i2")


def test_a_runtime_without_a_connector_has_neither_tunnel_nor_group(served: Paths) -> None:
    bare = replace(
        spreader(()),
        tunnels=frozenset(),
        groups=frozenset(),
        routes=frozenset(route for route in spreader(()).routes if route.nexthop is None),
    )
    whole = plan((0, 1))

    apply(replace(whole, namespaces=(bare, *whole.namespaces[1:])), served)

    assert ip(served["spreader"], "nexthop show") == []
    assert {link["ifname"] for link in ip(served["spreader"], "link show")} == {"lo", "in0", "p0", "p1", "p2"}
