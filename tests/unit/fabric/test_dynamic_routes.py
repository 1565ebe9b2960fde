"""What Cloud Routers advertise, and where what they learn applies (behaviour 4.3.10, 4.11.1, 4.11.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from testbed.control.watch.dynamic_routing import parse
from testbed.fabric.allocation.running import LearnedRoute
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import MAIN_TABLE, KernelRoute, Namespace
from testbed.model.bgp import REGION_COST, sessions
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.e2e.hybrid import hybrid
from tests.unit.topologies import members, running, space, table_rules, vm

KNOWN = Defaults("small", "us-central1", "us-central1-a")
EUROPE = {"name": "eu", "network": "vpc", "region": "europe-west1", "ipCidrRange": "10.132.0.0/20"}
OFFICE = "192.168.10.0/24"
Data = dict[str, Any]


def joined(
    mode: str = "REGIONAL", *, bgp: Data | None = None, peer: Data | None = None, routes: Sequence[Data] = ()
) -> Topology:
    """The two tunnels of `hybrid`, with an instance in another region and a connector with a hidden range."""
    data = hybrid("t", service=True)
    compute = data["compute"]
    compute["networks"][0]["routingConfig"] = {"routingMode": mode}
    compute["subnetworks"].append(EUROPE)
    compute["instances"].append({**vm("far", "regions/europe-west1/subnetworks/eu"), "zone": "europe-west1-b"})
    compute["routes"] = [*compute.get("routes", ()), *routes]
    compute["routers"][0]["bgp"] |= bgp or {}
    compute["routers"][0]["bgpPeers"][0] |= peer or {}
    return Topology.model_validate(data, context=KNOWN)


def said(topology: Topology, tunnel: int = 0) -> Mapping[str, int]:
    session = sessions(topology)[f"projects/small/regions/us-central1/vpnTunnels/tunnel-{tunnel}"]
    return {one.range: one.priority for one in session.advertised}


def learning(topology: Topology, *routes: LearnedRoute) -> Namespace:
    """The network when this has been learned."""
    return space(compile_topology(topology, replace(running(topology), learned=routes)), "vpc-vpc")


def dynamic(of: Namespace, destination: str = OFFICE) -> set[KernelRoute]:
    return {route for route in of.routes if route.destination == destination}


def address(of: Namespace, device: str) -> str:
    (found,) = (neighbour.address for neighbour in of.neighbours if neighbour.device == device)
    return found


CUSTOM = {"advertiseMode": "CUSTOM", "advertisedIpRanges": [{"range": "10.8.0.0/28"}]}
BOTH = {**CUSTOM, "advertisedGroups": ["ALL_SUBNETS"]}


@pytest.mark.behaviour("4.11.1", "4.11.2", "4.3.10")
def test_what_is_advertised() -> None:
    assert said(joined()) == {"10.128.0.0/20": 100}
    assert said(joined("GLOBAL")) == {"10.128.0.0/20": 100, "10.132.0.0/20": 100 + REGION_COST}
    assert said(joined(bgp=CUSTOM)) == {"10.8.0.0/28": 100}
    assert said(joined(bgp=BOTH)) == {"10.128.0.0/20": 100, "10.8.0.0/28": 100}


@pytest.mark.behaviour("4.11.1")
def test_a_peer_may_be_told_something_else() -> None:
    made = joined(peer={**BOTH, "advertisedRoutePriority": 7})
    assert said(made) == {"10.128.0.0/20": 7, "10.8.0.0/28": 7}
    assert said(made, 1) == {"10.128.0.0/20": 100}


@pytest.mark.behaviour("4.3.10")
def test_a_regional_network_has_learned_routes_in_one_region_only() -> None:
    """Packets from elsewhere are marked, and their table has all other routes."""
    vpc = learning(joined(), LearnedRoute("tunnel-0", OFFICE, 50))
    (rule,) = (rule for rule in vpc.rules if rule.mark)
    assert [(route.table, route.device) for route in dynamic(vpc)] == [(MAIN_TABLE, "tunnel-0")]
    assert {route.destination for route in vpc.routes if route.table == rule.table and route.kind == "unicast"} == {
        "0.0.0.0/0"
    }
    (marked,) = (line for line in table_rules(vpc, "raw", "PREROUTING") if "MARK" in line)
    assert members(vpc, marked) == [frozenset({address(vpc, "far")})]


@pytest.mark.behaviour("4.3.10")
def test_a_global_network_has_them_everywhere() -> None:
    vpc = learning(joined("GLOBAL"), LearnedRoute("tunnel-0", OFFICE, 50))
    assert not [rule for rule in vpc.rules if rule.mark]
    assert {route.device for route in dynamic(vpc)} == {"tunnel-0"}


@pytest.mark.behaviour("4.3.10", "4.3.5")
def test_learned_routes_of_another_region_have_a_cost() -> None:
    """A static route of a priority between those of both regions is better in the one, and not in the other."""
    static = {"name": "s", "network": "vpc", "destRange": OFFICE, "priority": 150, "nextHopInstance": "vm"}
    vpc = learning(joined("GLOBAL", routes=[static]), LearnedRoute("tunnel-0", OFFICE, 50))
    (rule,) = (rule for rule in vpc.rules if rule.mark)
    assert {route.table: route.device for route in dynamic(vpc)} == {MAIN_TABLE: "tunnel-0", rule.table: "vm"}


@pytest.mark.behaviour("4.3.5")
@pytest.mark.parametrize(("priority", "device"), [(99, "vm"), (100, "vm"), (101, "tunnel-1")])
def test_static_routes_come_first_at_equal_priority_and_the_better_med_wins(priority: int, device: str) -> None:
    static = {"name": "s", "network": "vpc", "destRange": OFFICE, "priority": priority, "nextHopInstance": "vm"}
    both = LearnedRoute("tunnel-0", OFFICE, 200), LearnedRoute("tunnel-1", OFFICE, 100)
    found = dynamic(learning(joined(routes=[static]), *both))
    assert {route.device for route in found if route.table == MAIN_TABLE} == {device}


@pytest.mark.behaviour("4.3.5")
def test_equal_learned_routes_share_flows() -> None:
    vpc = learning(joined(), LearnedRoute("tunnel-0", OFFICE, 100), LearnedRoute("tunnel-1", OFFICE, 100))
    (found,) = (route for route in dynamic(vpc) if route.table == MAIN_TABLE)
    assert {hop.device for hop in found.hops} == {"tunnel-0", "tunnel-1"}
    kept = {route.table: route.device for route in dynamic(vpc) if route.table != MAIN_TABLE}
    assert {*kept.values()} == {"tunnel-0", "tunnel-1"}
    assert {rule.table for rule in vpc.rules if rule.mark} >= kept.keys()


@pytest.mark.behaviour("4.3.2")
def test_nothing_learned_leads_into_the_networks_own_ranges() -> None:
    routes = (LearnedRoute("tunnel-0", cidr, 0) for cidr in ("10.128.0.0/24", "10.8.0.0/28", "10.0.0.0/8"))
    vpc = learning(joined(), *routes)
    assert not dynamic(vpc, "10.128.0.0/24")
    assert dynamic(vpc, "10.0.0.0/8")
    assert {route.kind for route in dynamic(vpc, "10.8.0.0/28") if route.table == MAIN_TABLE} == {"blackhole"}


def test_the_kernels_table_is_read() -> None:
    lines = [
        "ipsec0\t000AA8C0\t020000A9\t0003\t0\t0\t100\t00FFFFFF\t0\t0\t0",
        "ipsec0\t000000A9\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0",
        "internet\t00000000\t080000C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
    ]
    assert list(parse(lines)) == [(OFFICE, 100)]
