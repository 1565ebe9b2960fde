"""What goes through the connector, and what the internet sees (behaviour 3.2, 3.3), read at the receiving host."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from tests.e2e.capture import arriving, node_path
from tests.e2e.program import Program, example
from tests.e2e.readers import hits, instances, seen
from tests.waiting import QUIET

INTERNET_HOST = "http://203.0.113.10/"
POOL = IPv4Network("192.0.2.0/24")
"""Where the dynamic pool addresses of direct egress come from."""
NAT = "198.51.100.77"
"""The address that is reserved for Cloud NAT."""


@pytest.fixture(autouse=True, scope="module")
def _put_back(demo: Program) -> Iterator[None]:
    yield
    demo.up(example(demo.name))


def _all_traffic(topology: dict[str, Any]) -> dict[str, Any]:
    topology["run"]["services"][0]["template"]["vpcAccess"]["egress"] = "all-traffic"
    return topology


def _from_the_pool(source: str | None) -> bool:
    return source is not None and IPv4Address(source) in POOL


@pytest.mark.behaviour("3.2.4")
def test_private_ranges_only_reaches_the_internet_directly(demo: Program) -> None:
    """Behaviour 3.2.4: from a pool address, not from the connector."""
    assert _from_the_pool(seen(demo, "hello-run", INTERNET_HOST))


@pytest.mark.behaviour("3.2.1", "3.2.2")
def test_private_ranges_only_sends_rfc_1918_and_rfc_6598_through_the_connector(demo: Program) -> None:
    """Behaviour 3.2.1; each target has the range in a subnet of the network."""
    topology = example(demo.name)
    ranges = {
        "ten": "10.50.0.0/24",
        "hundred": "100.64.0.0/24",
        "seventeen": "172.16.0.0/24",
        "nineteen": "192.168.77.0/24",
    }
    for name, cidr in ranges.items():
        topology["compute"]["subnetworks"].append({"name": name, "network": "vpc", "ipCidrRange": cidr})
        topology["compute"]["instances"].append({"name": f"vm-{name}", "networkInterfaces": [{"subnetwork": name}]})
    demo.up(topology)
    for cidr in ranges.values():
        host = IPv4Network(cidr)[2]
        assert seen(demo, "hello-run", f"http://{host}/") in instances(demo).values(), cidr


@pytest.mark.behaviour("3.3.1", "3.3.2", "3.3.3", "4.13.1")
def test_all_traffic_reaches_the_internet_by_cloud_nat(demo: Program) -> None:
    """Behaviour 3.3.1 - 3.3.3; services that share the connector keep their own setting."""
    topology = _all_traffic(example(demo.name))
    topology["compute"]["addresses"].append({"name": "nat-address", "region": "us-central1", "address": NAT})
    topology["compute"]["routers"][0]["nats"] = [
        {"name": "nat", "natIpAllocateOption": "MANUAL_ONLY", "natIps": ["nat-address"]}
    ]
    demo.up(topology)
    assert seen(demo, "hello-run", INTERNET_HOST) == NAT
    assert _from_the_pool(seen(demo, "hello-function", INTERNET_HOST))
    assert seen(demo, "hello-run", "http://10.128.0.2/") in instances(demo).values()


@pytest.mark.behaviour("3.3.2")
def test_all_traffic_without_cloud_nat_reaches_nothing(demo: Program) -> None:
    """Behaviour 3.3.2: instances have no external address.  Nothing arrives at the host."""
    topology = _all_traffic(example(demo.name))
    topology["compute"]["routers"] = []
    demo.up(topology)
    with arriving(node_path(demo, "internet-host")) as so_far:
        assert seen(demo, "hello-run", INTERNET_HOST, within=QUIET) is None
        assert so_far() == []
        (dropped,) = [row for row in demo.json("drops") if row["rule"] == "no-external-address"]
        assert (dropped["place"], dropped["cause"]) == ("vpc-vpc", "NO_EXTERNAL_ADDRESS")
        assert dropped["packets"] == hits(demo, "vpc-vpc")["no-external-address"] > 0
        assert _from_the_pool(seen(demo, "hello-function", INTERNET_HOST))
        assert so_far() != []
    assert seen(demo, "hello-run", "http://10.128.0.2/") in instances(demo).values()


def test_a_service_without_a_connector_cannot_reach_the_network(demo: Program) -> None:
    topology = example(demo.name)
    del topology["run"]["services"][0]["template"]["vpcAccess"]
    demo.up(topology)
    assert seen(demo, "hello-run", "http://10.128.0.2/", within=QUIET) is None
    assert _from_the_pool(seen(demo, "hello-run", INTERNET_HOST))
