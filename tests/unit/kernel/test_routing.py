from __future__ import annotations

from testbed.fabric.plan import KernelRoute, Nexthop, NexthopGroup, RoutingRule
from testbed.kernel import routing
from testbed.kernel.change import NetlinkRequest
from testbed.kernel.routing_messages import PROTOCOL, Routing


def changes(want: Routing, have: Routing) -> list[str]:
    return [str(step.change) for step in routing.steps("ns", want, have)]


ONE, TWO = Nexthop(1, "tun0", 7, "10.8.0.1"), Nexthop(2, "tun0", 7, "10.8.0.2")
VIA = KernelRoute("10.0.0.0/8", nexthop=10)


def group(*members: int, buckets: int = 128) -> NexthopGroup:
    return NexthopGroup(10, members, buckets, 60)


def test_what_is_referred_to_comes_first() -> None:
    want = Routing(nexthops=frozenset({ONE, TWO}), groups=frozenset({group(1, 2)}), routes=frozenset({VIA}))

    assert changes(want, Routing()) == [
        "ns: add nexthop id 1 encap ip id 7 dst 10.8.0.1 dev tun0",
        "ns: add nexthop id 2 encap ip id 7 dst 10.8.0.2 dev tun0",
        "ns: add group id 10 group 1/2 type resilient buckets 128 idle_timer 60",
        "ns: add route 10.0.0.0/8 nhid 10 table 254",
    ]


def test_a_nexthop_goes_when_no_group_has_it_any_more() -> None:
    have = Routing(nexthops=frozenset({ONE, TWO}), groups=frozenset({group(1, 2)}), routes=frozenset({VIA}))
    want = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1)}), routes=frozenset({VIA}))

    assert changes(want, have) == [
        "ns: replace group id 10 group 1 type resilient buckets 128 idle_timer 60",
        "ns: delete nexthop id 2 encap ip id 7 dst 10.8.0.2 dev tun0",
    ]


def test_everything_goes_in_the_reverse_order() -> None:
    have = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1)}), routes=frozenset({VIA}))

    steps = [*routing.steps("ns", Routing(), have)]

    assert [(step.request.subject, step.request.command) for step in steps] == [
        ("route", "delete"),
        ("nexthop", "delete"),
        ("nexthop", "delete"),
    ]
    assert [step.request.values.get("id") for step in steps] == [None, 10, 1]


def test_a_route_that_takes_anothers_place_replaces_it() -> None:
    have = Routing(routes=frozenset({VIA, KernelRoute("10.0.0.0/8", kind="blackhole", metric=9)}))
    want = Routing(routes=frozenset({KernelRoute("10.0.0.0/8", kind="unreachable")}))

    assert changes(want, have) == [
        "ns: replace route unreachable 10.0.0.0/8 table 254",
        "ns: delete route blackhole 10.0.0.0/8 metric 9 table 254",
    ]


def test_a_group_of_another_size_is_made_anew_with_its_routes() -> None:
    have = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1)}), routes=frozenset({VIA}))
    want = Routing(nexthops=frozenset({ONE}), groups=frozenset({group(1, buckets=64)}), routes=frozenset({VIA}))

    assert changes(want, have) == [
        "ns: delete group id 10 group 1 type resilient buckets 128 idle_timer 60",
        "ns: add group id 10 group 1 type resilient buckets 64 idle_timer 60",
        "ns: add route 10.0.0.0/8 nhid 10 table 254",
    ]


def test_what_is_installed_carries_our_number_and_what_is_removed_may_have_any() -> None:
    rule = Routing(rules=frozenset({RoutingRule(100, "10.0.0.0/8", 7)}))
    [add], [delete] = routing.steps("ns", rule, Routing()), routing.steps("ns", Routing(), rule)

    assert add.request == NetlinkRequest("rule", "add", {**delete.request.values, "protocol": PROTOCOL})
    assert delete.request == NetlinkRequest("rule", "delete", {"priority": 100, "src": "10.0.0.0/8", "table": 7})
