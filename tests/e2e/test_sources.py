"""Which source address the far end sees (behaviour 2.1.1): an instance's, for every service and target."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.e2e.flows import held
from tests.e2e.program import Program, example
from tests.e2e.readers import SERVICES, instances, seen

CONNECTOR_RANGE = IPv4Network("10.8.0.0/28")
TARGETS = {
    "vm in the connector's region": "http://10.128.0.2/",
    "vm in another region": "http://10.132.0.2/",
    "vm in a peered network": "http://10.200.0.2/",
    "host on-prem": "http://192.168.10.10/",
}


FLOWS = 24
"""All on one of two instances by chance: 1 in 8 million."""


@pytest.fixture(scope="module")
def addresses(demo: Program) -> set[str]:
    """The addresses of the connector's instances."""
    found = set(instances(demo).values())
    assert len(found) == 2
    assert all(IPv4Address(address) in CONNECTOR_RANGE for address in found)
    return found


@pytest.mark.behaviour("2.1.1", "1.12.2")
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_web_server_sees_an_instance(demo: Program, addresses: set[str], service: str, target: str) -> None:
    assert seen(demo, service, TARGETS[target]) in addresses


@pytest.mark.behaviour("2.1.1", "4.9.4")
@pytest.mark.parametrize("service", SERVICES)
def test_redis_sees_an_instance(demo: Program, addresses: set[str], service: str) -> None:
    key = f"greeting-of-{service}"
    demo.run(
        "invoke",
        service,
        "/redis",
        "-d",
        json.dumps({"key": key, "value": service}),
        "-H",
        "Content-Type: application/json",
    )
    assert service in demo.run("invoke", service, f"/redis?key={key}").stdout
    clients = demo.invoke(service, "/redis/clients")["clients"]
    mine = [client["address"].rpartition(":")[0] for client in clients if client["name"] == service]
    assert mine
    assert set(mine) <= addresses


def test_redis_keeps_what_it_is_given(demo: Program) -> None:
    missing = demo.run("invoke", "hello-run", "/redis?key=nobody-wrote-it", check=False)
    assert (missing.returncode, "404" in missing.stderr) == (1, True)
    first = demo.invoke("hello-run", "/redis/incr?key=counter")["value"]
    assert demo.invoke("hello-function", "/redis/incr?key=counter")["value"] == first + 1


def test_redis_wants_its_auth_string(demo: Program) -> None:
    """An AUTH string that a workload does not have is asked for: the server is real, and reachable from a VM."""
    talk = (
        "import socket; s = socket.create_connection(('10.9.0.3', 6379), 3);"
        " s.sendall(b'PING\\r\\n'); print(s.recv(99))"
    )
    assert "NOAUTH" in demo.execute("vm-us", "python3", "-c", talk).stdout


@pytest.mark.behaviour("2.1.2")
def test_flows_are_spread_and_each_stays_on_its_instance(demo: Program, addresses: set[str]) -> None:
    """Behaviour 2.1.2: many flows use all instances; one flow, asked several times, shows one address only."""
    with held(demo, FLOWS, "hello-run") as flows:
        first = flows.ask()
        assert set(first) == addresses
        assert seen(demo, "hello-run", "http://10.128.0.2/") in addresses  # another flow, between the answers
        assert flows.ask() == first


@pytest.mark.behaviour("3.6")
def test_a_workload_in_the_network_needs_no_connector(demo: Program) -> None:
    """Behaviour 3.6: the flexible environment lives in the network and shows its own address."""
    assert seen(demo, "hello-flexible", "http://10.128.0.2/") == "10.128.0.3"


def test_a_new_instance_breaks_no_flow(demo: Program) -> None:
    """Flows keep their instance when another is added, which gets a share of the new ones."""
    topology = example(demo.name)
    connector = {"name": "c2", "network": "vpc", "ipCidrRange": "10.8.1.0/28", "minInstances": 2, "maxInstances": 4}
    topology["vpcaccess"]["connectors"].append(connector)
    topology["run"]["services"][0]["template"]["vpcAccess"]["connector"] = "c2"
    try:
        demo.up(topology)
        with held(demo, FLOWS, "hello-run") as flows:
            before = flows.ask()
            connector["minInstances"] = 3
            demo.up(topology)
            assert flows.ask() == before
        # A new instance gets only buckets of the nexthop group that no flow has used lately.
        with held(demo, 100, "hello-run") as flows:
            after = flows.ask()
    finally:
        demo.up(example(demo.name))
    assert len(set(before)) == 2
    assert len(set(after)) == 3
