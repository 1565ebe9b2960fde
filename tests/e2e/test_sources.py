"""Which source address the far end sees (behaviour 2.1.1): an instance's, for every service and target."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.e2e.program import Program
from tests.e2e.readers import SERVICES, instances, seen

CONNECTOR_RANGE = IPv4Network("10.8.0.0/28")
TARGETS = {
    "vm in the connector's region": "http://10.128.0.2/",
    "vm in another region": "http://10.132.0.2/",
    "vm in a peered network": "http://10.200.0.2/",
    "host on-prem": "http://192.168.10.10/",
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_web_server_sees_an_instance(demo: Program, service: str, target: str) -> None:
    source = seen(demo, service, TARGETS[target])
    assert source is not None
    assert IPv4Address(source) in CONNECTOR_RANGE
    assert source in instances(demo).values()


@pytest.mark.parametrize("service", SERVICES)
def test_redis_sees_an_instance(demo: Program, service: str) -> None:
    key = f"greeting-of-{service}"
    demo.run("invoke", service, "/redis", "-d", json.dumps({"key": key, "value": service}), "-H",
             "Content-Type: application/json")  # fmt: skip
    assert service in demo.run("invoke", service, f"/redis?key={key}").stdout
    clients = demo.invoke(service, "/redis/clients")["clients"]
    mine = [client["address"].rpartition(":")[0] for client in clients if client["name"] == service]
    assert mine
    assert set(mine) <= set(instances(demo).values())


def test_redis_wants_its_auth_string(demo: Program) -> None:
    """An AUTH string that a workload does not have is asked for: the server is real, and reachable from a VM."""
    talk = (
        "import socket; s = socket.create_connection(('10.9.0.3', 6379), 3);"
        " s.sendall(b'PING\\r\\n'); print(s.recv(99))"
    )
    assert "NOAUTH" in demo.execute("vm-us", "python3", "-c", talk).stdout


def test_flows_are_spread_and_each_stays_on_its_instance(demo: Program) -> None:
    """Behaviour 2.1.2: many flows use all instances; one flow, asked twice with a pause, shows one address only."""

    def flow(_: int) -> list[str]:
        answer = demo.invoke("hello-run", "/tcp?host=10.128.0.2&port=7&line=hello&hold=0.5")
        return [line.split()[0] for line in answer["answers"]]

    with ThreadPoolExecutor(4) as pool:
        flows = list(pool.map(flow, range(24)))
    assert all(len(set(addresses)) == 1 and len(addresses) == 2 for addresses in flows)
    # 24 flows on one of two instances by chance: 1 in 8 million.
    assert {addresses[0] for addresses in flows} == set(instances(demo).values())


def test_a_workload_in_the_network_needs_no_connector(demo: Program) -> None:
    """Behaviour 3.6: the flexible environment lives in the network and shows its own address."""
    assert seen(demo, "hello-flexible", "http://10.128.0.2/") == "10.128.0.3"
