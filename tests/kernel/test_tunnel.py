"""Connector-like tunnels: a `runtime` reaches one address, 10.100.0.1, that is served behind each of the instances.

A `spreader` forwards its packets by the tunnel to one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest

from testbed.fabric.plan import (
    End,
    Interface,
    KernelRoute,
    Namespace,
    Neighbour,
    Nexthop,
    Plan,
    Tunnel,
    Veth,
)
from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference
from testbed.kernel.change import KernelChange
from tests.kernel.spaces import Paths, answering, ask, ip, sh, spaces
from tests.waiting import PATIENCE

INSTANCES = ("i1", "i2", "i3")
SERVICE = ("10.100.0.1", 80)
RUNTIME = "35.199.224.2"
TUN = Tunnel(Interface("tun0", mtu=1410), 665)
LOOSE = {"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}


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


def spreader(members: Sequence[int]) -> Namespace:
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
        routes=frozenset(
            {
                *(KernelRoute(f"10.8.0.{n}/32", f"p{n}") for n in range(3)),
                KernelRoute(f"{RUNTIME}/32", "in0"),
                *(KernelRoute("10.100.0.0/16", nexthop=1 + n) for n in members[:1]),
                *(KernelRoute(f"10.101.{n}.0/24", nexthop=1 + n) for n in members),
            }
        ),
        sysctls={**LOOSE, "net.ipv4.ip_forward": "1"},
    )


CLIENT = Namespace(
    "runtime",
    neighbours=frozenset({Neighbour("35.199.224.1", mac(32), "eth0")}),
    routes=frozenset({KernelRoute("0.0.0.0/0", "eth0", "35.199.224.1")}),
    sysctls=LOOSE,
)


def plan(members: Sequence[int]) -> Plan:
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
    spaces = (spreader(members), CLIENT, *map(instance, range(3)))
    return Plan("kt", spaces, (inward, *outward), ())


@pytest.fixture
def paths() -> Iterator[Paths]:
    with spaces("spreader", "runtime", *INSTANCES) as made:
        yield made


@pytest.fixture
def served(paths: Paths) -> Iterator[Paths]:
    """The spreader has a way to instances 0 and 1; all three serve."""
    apply(plan((0, 1)), paths)
    with ExitStack() as stack:
        for name in INSTANCES:
            stack.enter_context(answering(paths[name], SERVICE, name))
        yield paths


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


def test_nexthops_and_their_routes_are_as_planned_and_stay_so(served: Paths) -> None:
    assert apply(plan((0, 1)), served) == []


def test_a_tunnel_to_another_instance_takes_the_place_of_the_first(served: Paths) -> None:
    assert new_flow(served) == "i1"

    made = apply(plan((2,)), served)

    assert [(change.verb, change.kind) for change in made] == [
        ("add", "nexthop"),
        ("replace", "route"),
        ("add", "route"),
        ("delete", "route"),
        ("delete", "route"),
        ("delete", "nexthop"),
        ("delete", "nexthop"),
    ]
    assert new_flow(served) == "i3"


@pytest.mark.parametrize(
    ("command", "repaired"),
    [
        ("ip nexthop delete id 2", {("add", "nexthop"), ("add", "route")}),
        ("ip nexthop flush", {("add", "nexthop"), ("add", "route")}),
        ("ip nexthop add id 11 blackhole", {("delete", "nexthop")}),
        ("ip nexthop add id 11 group 1/2", {("delete", "nexthop")}),
        ("ip nexthop replace id 1 encap ip id 78 dst 10.8.0.0 dev tun0", {("replace", "nexthop")}),
    ],
)
def test_an_accident_is_repaired(served: Paths, command: str, repaired: set[tuple[str, str]]) -> None:
    sh(served["spreader"], command)

    made = apply(plan((0, 1)), served)

    assert {(change.verb, change.kind) for change in made} == repaired
    assert {change.namespace for change in made} == {"spreader"}
    assert new_flow(served) == "i1"


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
    assert new_flow(served) == "i1"


def test_a_runtime_without_a_connector_has_neither_tunnel_nor_nexthop(served: Paths) -> None:
    bare = replace(
        spreader(()),
        tunnels=frozenset(),
        routes=frozenset(route for route in spreader(()).routes if route.nexthop is None),
    )
    whole = plan((0, 1))

    apply(replace(whole, namespaces=(bare, *whole.namespaces[1:])), served)

    assert ip(served["spreader"], "nexthop show") == []
    assert {link["ifname"] for link in ip(served["spreader"], "link show")} == {"lo", "in0", "p0", "p1", "p2"}
