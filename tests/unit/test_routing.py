from __future__ import annotations

import json
from typing import Any

import pytest

from testbed.errors import Internal
from testbed.fabric.plan import Neighbour, Nexthop, NexthopGroup, PolicyRule, Route
from testbed.kernel import iproute, routing
from testbed.kernel.routing import Routing

HOP = '{"id":3,"encap":"ip","id":77,"src":"0.0.0.0","dst":"10.8.0.3","ttl":0,"tos":0,"dev":"tun0","protocol":"116"}'
GROUP = (
    '{"id":10,"group":[{"id":4},{"id":3}],"type":"resilient","resilient_args":{"buckets":128,"idle_timer":60,'
    '"unbalanced_timer":0,"unbalanced_time":0},"scope":"0","protocol":"116","flags":[]}'
)
ONE_HOP = (
    '{"type":"1","dst":"10.9.0.1","nhid":3,"encap":"ip","id":77,"src":"0.0.0.0","dst":"10.8.0.3","dev":"tun0",'
    '"table":"254","protocol":"116","flags":[]}'
)


def dump(**arrays: str) -> iproute.Dump:
    kinds = ("addresses", "neighbours", "nexthops", "routes", "rules")
    return iproute.parse("\n".join(f"[{arrays.get(kind, '')}]" for kind in kinds))


def read(*, node: bool = False, **arrays: str) -> Routing:
    return routing.parse(dump(**arrays), node=node)


def route(**keys: Any) -> str:
    return json.dumps({"type": "1", "table": "254", "protocol": "116", "scope": "0", "flags": [], **keys})


def test_a_nexthop_has_an_id_and_its_tunnel_another() -> None:
    assert read(nexthops=HOP).nexthops == {Nexthop(3, "tun0", 77, "10.8.0.3")}


def test_the_order_of_a_groups_members_means_nothing() -> None:
    assert read(nexthops=GROUP).groups == {NexthopGroup(10, (3, 4), 128, 60)}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (route(dst="default", gateway="169.254.1.1", dev="eth0"), Route("0.0.0.0/0", "eth0", "169.254.1.1")),
        (route(dst="10.0.0.1", dev="eth0", metric=5), Route("10.0.0.1/32", "eth0", metric=5)),
        (route(dst="10.0.0.0/8", nhid=10, prefsrc="10.1.0.1"), Route("10.0.0.0/8", nexthop=10, source="10.1.0.1")),
        (route(dst="10.0.0.0/8", type="7", table="100"), Route("10.0.0.0/8", table=100, kind="unreachable")),
        (route(dst="10.0.0.0/8", type="6"), Route("10.0.0.0/8", kind="blackhole")),
        # Through a single nexthop object: the tunnel's `dst` follows the route's.
        (
            ONE_HOP,
            Route("10.9.0.1/32", nexthop=3),
        ),
    ],
)
def test_a_route_is_read(entry: str, expected: Route) -> None:
    assert read(routes=entry).routes == {expected}


def test_local_and_broadcast_routes_and_the_kernels_own_are_not_ours() -> None:
    entries = [
        route(dst="10.0.0.1", type="2", dev="eth0", table="255", protocol="2"),
        route(dst="10.0.0.255", type="3", dev="eth0", table="255"),
        route(dst="10.0.0.0/24", dev="eth0", protocol="2"),
    ]
    assert read(routes=",".join(entries)).routes == frozenset()


def test_in_a_nodes_namespace_only_what_carries_our_number_is_ours() -> None:
    foreign = route(dst="10.0.0.0/8", dev="ipsec0", protocol="4")

    assert read(routes=foreign, node=True).routes == frozenset()
    assert read(routes=foreign, node=False).routes == {Route("10.0.0.0/8", "ipsec0")}


def test_rules_are_read_without_the_three_that_every_namespace_has() -> None:
    rules = [
        {"priority": 0, "src": "all", "table": "255", "protocol": "2"},
        {"priority": 100, "src": "10.8.0.0", "srclen": 28, "table": "100", "protocol": "116"},
        {"priority": 101, "src": "10.8.0.1", "table": "100", "protocol": "116"},
        {"priority": 32766, "src": "all", "table": "254", "protocol": "2"},
    ]
    assert read(rules=",".join(map(json.dumps, rules))).rules == {
        PolicyRule(100, "10.8.0.0/28", 100),
        PolicyRule(101, "10.8.0.1/32", 100),
    }


def test_permanent_neighbours_are_read() -> None:
    entry = '{"dst":"10.0.0.1","dev":"eth0","lladdr":"02:00:00:00:00:01","state":["PERMANENT"]}'

    assert read(neighbours=entry).neighbours == {Neighbour("10.0.0.1", "02:00:00:00:00:01", "eth0")}


def test_output_that_is_not_complete_is_a_defect() -> None:
    with pytest.raises(Internal, match="2 arrays for 5 commands"):
        iproute.parse("[]\n[]\n")


def commands(want: Routing, have: Routing) -> list[str]:
    return [step.command for step in routing.steps("ns", want, have)]


ONE, TWO = Nexthop(1, "tun0", 7, "10.8.0.1"), Nexthop(2, "tun0", 7, "10.8.0.2")
VIA = Route("10.0.0.0/8", nexthop=10)


def group(*members: int, buckets: int = 128) -> NexthopGroup:
    return NexthopGroup(10, members, buckets, 60)


def test_what_is_referred_to_comes_first() -> None:
    want = Routing(nexthops=frozenset({ONE, TWO}), groups=frozenset({group(1, 2)}), routes=frozenset({VIA}))

    assert commands(want, Routing()) == [
        "nexthop replace id 1 encap ip id 7 dst 10.8.0.1 dev tun0 protocol 116",
        "nexthop replace id 2 encap ip id 7 dst 10.8.0.2 dev tun0 protocol 116",
        "nexthop replace id 10 group 1/2 type resilient buckets 128 idle_timer 60 protocol 116",
        "route replace 10.0.0.0/8 nhid 10 table 254 protocol 116",
    ]


def test_a_nexthop_goes_when_no_group_has_it_any_more() -> None:
    have = Routing(nexthops=frozenset({ONE, TWO}), groups=frozenset({group(1, 2)}), routes=frozenset({VIA}))
    want = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1)}), routes=frozenset({VIA}))

    assert commands(want, have) == [
        "nexthop replace id 10 group 1 type resilient buckets 128 idle_timer 60 protocol 116",
        "nexthop delete id 2",
    ]


def test_everything_goes_in_the_reverse_order() -> None:
    have = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1)}), routes=frozenset({VIA}))

    assert commands(Routing(), have) == [
        "route delete 10.0.0.0/8 nhid 10 table 254",
        "nexthop delete id 10",
        "nexthop delete id 1",
    ]


def test_a_route_that_takes_anothers_place_replaces_it() -> None:
    have = Routing(routes=frozenset({VIA, Route("10.0.0.0/8", kind="blackhole", metric=9)}))
    want = Routing(routes=frozenset({Route("10.0.0.0/8", kind="unreachable")}))

    steps = [*routing.steps("ns", want, have)]

    assert [step.command for step in steps] == [
        "route replace unreachable 10.0.0.0/8 table 254 protocol 116",
        "route delete blackhole 10.0.0.0/8 metric 9 table 254",
    ]
    assert [step.change.verb for step in steps if step.change] == ["replace", "delete"]


def test_a_group_of_another_size_is_made_anew_with_its_routes() -> None:
    have = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1)}), routes=frozenset({VIA}))
    want = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1, buckets=64)}), routes=frozenset({VIA}))

    assert commands(want, have) == [
        "nexthop delete id 10",
        "nexthop replace id 10 group 1 type resilient buckets 64 idle_timer 60 protocol 116",
        "route replace 10.0.0.0/8 nhid 10 table 254 protocol 116",
    ]
