from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from testbed.fabric.plan import KernelRoute, Neighbour, Nexthop, RoutingRule
from testbed.kernel import routing_messages
from testbed.kernel.dump import Dump, Message
from testbed.kernel.nexthop_messages import NexthopMessage, RouteMessage
from testbed.kernel.routing_messages import Routing, install
from tests.unit.kernel.messages import decoded

DEVICES = {"tun0": 5, "eth0": 6}
LINKS = [decoded(ifinfmsg, index=index, ifname=name) for name, index in DEVICES.items()]
PERMANENT = 0x80
STATIC, KERNEL = 4, 2


def read(*, node: bool = False, **messages: list[Message]) -> Routing:
    kinds = ("neighbours", "nexthops", "routes", "rules")
    return routing_messages.parse(Dump(LINKS, [], [], [], *(messages.get(kind, []) for kind in kinds)), node=node)


def sent(kind: type[Any], value: Nexthop | KernelRoute) -> Message:
    """The message that installs this."""
    values = dict(install(value).values)
    return decoded(kind, **values | {"oif": DEVICES.get(str(values.get("oif")))})


addresses = st.integers(1, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
prefixes = st.builds(
    lambda address, length: str(IPv4Network((address, length), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
numbers = st.integers(1, 2**32 - 1)
devices = st.sampled_from([*DEVICES])
nexthops = st.builds(
    Nexthop,
    numbers,
    devices,
    st.integers(0, 2**64 - 1),
    addresses,
    st.none() | addresses,
)
tables = st.integers(1, 2**32 - 1)
routes = st.one_of(
    st.builds(
        KernelRoute,
        prefixes,
        devices,
        st.none() | addresses,
        st.none(),
        st.none() | addresses,
        numbers | st.just(0),
        tables,
    ),
    st.builds(
        KernelRoute, prefixes, st.none(), st.none(), numbers, st.none() | addresses, numbers | st.just(0), tables
    ),
    st.builds(
        KernelRoute,
        prefixes,
        metric=numbers,
        table=tables,
        kind=st.sampled_from(["blackhole", "unreachable", "prohibit"]),
    ),
)


@given(nexthops)
def test_a_nexthop_is_read_as_it_was_written(nexthop: Nexthop) -> None:
    assert read(nexthops=[sent(NexthopMessage, nexthop)]).nexthops == {nexthop}


@given(routes)
def test_a_route_is_read_as_it_was_written(route: KernelRoute) -> None:
    assert read(routes=[sent(RouteMessage, route)]).routes == {route}


def test_a_nexthop_without_encapsulation_is_read_too() -> None:
    plain = decoded(NexthopMessage, id=11, oif=DEVICES["eth0"], protocol=STATIC)

    assert read(nexthops=[plain]).nexthops == {Nexthop(11, "eth0", 0, "")}


def test_the_device_of_a_route_by_way_of_a_nexthop_object_is_the_objects() -> None:
    told = decoded(RouteMessage, dst="10.9.0.1", dst_len=32, type=1, oif=DEVICES["tun0"], nh_id=3, table=254)

    assert read(routes=[told]).routes == {KernelRoute("10.9.0.1/32", nexthop=3)}


def test_local_and_broadcast_routes_and_the_kernels_own_are_not_ours() -> None:
    values: dict[str, Any] = {"dst": "10.0.0.1", "dst_len": 32, "oif": DEVICES["eth0"], "table": 255}
    foreign = [values | {"type": 2, "protocol": KERNEL}, values | {"type": 3}, values | {"type": 1, "protocol": KERNEL}]

    assert read(routes=[decoded(RouteMessage, **each) for each in foreign]).routes == frozenset()


def test_in_a_nodes_namespace_only_what_carries_our_number_is_ours() -> None:
    route = KernelRoute("10.0.0.0/8", "eth0")
    foreign = decoded(RouteMessage, dst="10.0.0.0", dst_len=8, oif=DEVICES["eth0"], table=254, type=1, protocol=STATIC)

    assert read(routes=[foreign], node=True).routes == frozenset()
    assert read(routes=[foreign], node=False).routes == {route}
    assert read(routes=[sent(RouteMessage, route)], node=True).routes == {route}


def test_rules_are_read_without_the_three_that_every_namespace_has() -> None:
    rules = [
        decoded(fibmsg, FRA_TABLE=255, protocol=KERNEL),
        decoded(fibmsg, priority=100, src="10.8.0.0", src_len=28, FRA_TABLE=100, protocol=116),
        decoded(fibmsg, priority=101, FRA_TABLE=1000, protocol=116),
        decoded(fibmsg, priority=32766, FRA_TABLE=254, protocol=KERNEL),
    ]
    assert read(rules=rules).rules == {RoutingRule(100, "10.8.0.0/28", 100), RoutingRule(101, "0.0.0.0/0", 1000)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"state": PERMANENT, "lladdr": "02:00:00:00:00:01"}, {Neighbour("10.0.0.1", "02:00:00:00:00:01", "eth0")}),
        ({"state": PERMANENT}, set()),
        ({"state": 0x02, "lladdr": "02:00:00:00:00:01"}, set()),
    ],
)
def test_permanent_neighbours_are_read(values: dict[str, Any], expected: set[Neighbour]) -> None:
    message = decoded(ndmsg, dst="10.0.0.1", ifindex=DEVICES["eth0"], **values)

    assert read(neighbours=[message]).neighbours == expected


def test_what_hangs_on_a_device_that_came_after_the_list_of_devices_is_read() -> None:
    neighbour = decoded(ndmsg, dst="10.0.0.1", ifindex=99, state=PERMANENT, lladdr="02:00:00:00:00:01")
    route = decoded(RouteMessage, dst="10.0.0.0", dst_len=8, oif=99, table=254, type=1)

    assert read(neighbours=[neighbour], routes=[route]) == Routing(
        neighbours=frozenset({Neighbour("10.0.0.1", "02:00:00:00:00:01", "")}),
        routes=frozenset({KernelRoute("10.0.0.0/8")}),
    )
