from __future__ import annotations

from dataclasses import replace

from testbed.fabric.plan import KernelRoute, Nexthop, RoutingRule
from testbed.kernel import routing
from testbed.kernel.change import NetlinkRequest
from testbed.kernel.routing_messages import PROTOCOL, Routing


def changes(want: Routing, have: Routing) -> list[str]:
    return [str(step.change) for step in routing.steps("ns", want, have)]


ONE, TWO = Nexthop(1, "tun0", 7, "10.8.0.1"), Nexthop(2, "tun0", 7, "10.8.0.2")
VIA = KernelRoute("10.0.0.0/8", nexthop=1)


def test_what_is_referred_to_comes_first() -> None:
    want = Routing(nexthops=frozenset({ONE}), routes=frozenset({VIA}))

    assert changes(want, Routing()) == [
        "ns: add nexthop id 1 encap ip id 7 dst 10.8.0.1 dev tun0",
        "ns: add route 10.0.0.0/8 nhid 1 table 254",
    ]


def test_a_nexthop_goes_when_no_route_has_it_any_more() -> None:
    have = Routing(nexthops=frozenset({ONE}), routes=frozenset({VIA}))
    want = Routing(nexthops=frozenset({TWO}), routes=frozenset({replace(VIA, nexthop=2)}))

    assert changes(want, have) == [
        "ns: add nexthop id 2 encap ip id 7 dst 10.8.0.2 dev tun0",
        "ns: replace route 10.0.0.0/8 nhid 2 table 254",
        "ns: delete nexthop id 1 encap ip id 7 dst 10.8.0.1 dev tun0",
    ]


def test_everything_goes_in_the_reverse_order() -> None:
    have = Routing(nexthops=frozenset({ONE}), routes=frozenset({VIA}))

    steps = [*routing.steps("ns", Routing(), have)]

    assert [(step.request.subject, step.request.command) for step in steps] == [
        ("route", "delete"),
        ("nexthop", "delete"),
    ]
    assert [step.request.values.get("id") for step in steps] == [None, 1]


def test_a_route_that_takes_anothers_place_replaces_it() -> None:
    have = Routing(routes=frozenset({VIA, KernelRoute("10.0.0.0/8", kind="blackhole", metric=9)}))
    want = Routing(routes=frozenset({KernelRoute("10.0.0.0/8", kind="unreachable")}))

    assert changes(want, have) == [
        "ns: replace route unreachable 10.0.0.0/8 table 254",
        "ns: delete route blackhole 10.0.0.0/8 metric 9 table 254",
    ]


def test_what_is_installed_carries_our_number_and_what_is_removed_may_have_any() -> None:
    rule = Routing(rules=frozenset({RoutingRule(100, "10.0.0.0/8", 7)}))
    [add], [delete] = routing.steps("ns", rule, Routing()), routing.steps("ns", Routing(), rule)

    assert add.request == NetlinkRequest("rule", "add", {**delete.request.values, "protocol": PROTOCOL})
    assert delete.request == NetlinkRequest("rule", "delete", {"priority": 100, "src": "10.0.0.0/8", "table": 7})
