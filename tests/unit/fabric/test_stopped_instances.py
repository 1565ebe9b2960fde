"""An instance that is stopped: in a plan it is not there, but nothing else gets its address."""

from __future__ import annotations

import pytest

from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey
from tests.unit.topologies import compute, network, plan, space, subnet, topology, vm

ROUTE = {"name": "r", "network": "vpc", "destRange": "192.168.0.0/24", "nextHopInstance": "router"}


def test_it_has_no_node_and_no_port() -> None:
    made = plan(
        topology(
            compute=compute(
                networks=[network()], subnetworks=[subnet()], instances=[vm("on"), vm("off", status="TERMINATED")]
            )
        )
    )
    assert {node.name for node in made.nodes} == {"on", "dns"}
    assert "off" not in {one.name for one in made.namespaces}
    assert "off" not in {neighbour.device for neighbour in space(made, "vpc-vpc").neighbours}


def test_its_address_stays_its_own() -> None:
    of = topology(
        compute=compute(
            networks=[network()], subnetworks=[subnet()], instances=[vm("off", status="TERMINATED"), vm("on")]
        )
    )
    found = allocate(of, Allocations())
    zone = "projects/p/zones/us-central1-a/instances"
    assert tuple(found.addresses[AddressKey.instance(f"{zone}/{name}")] for name in ("off", "on")) == (
        "10.128.0.2",
        "10.128.0.3",
    )


@pytest.mark.behaviour("4.3.8")
def test_routes_to_it_lead_nowhere() -> None:
    kinds = {}
    for status in ("RUNNING", "TERMINATED"):
        made = plan(
            topology(
                compute=compute(
                    networks=[network()],
                    subnetworks=[subnet()],
                    instances=[vm("router", status=status)],
                    routes=[ROUTE],
                )
            )
        )
        (route,) = (one for one in space(made, "vpc-vpc").routes if one.destination == ROUTE["destRange"])
        kinds[status] = route.kind
    assert kinds["TERMINATED"] == "blackhole"
    assert kinds["RUNNING"] != "blackhole"
