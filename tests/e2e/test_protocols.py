"""TCP, UDP and ICMP as in the documentation's table (behaviour 3.7), in both egress settings."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.capture import Packet, arriving, node_path
from tests.e2e.program import Program, example
from tests.e2e.readers import hits, instances
from tests.waiting import PATIENCE

VM, INTERNET_HOST, ON_PREM = "10.128.0.2", "203.0.113.10", "192.168.10.10"


@pytest.fixture(scope="module", params=["private-ranges-only", "all-traffic"])
def setting(demo: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    topology = example(demo.name)
    topology["run"]["services"][0]["template"]["vpcAccess"]["egress"] = request.param
    topology["compute"]["firewalls"].append({"name": "allow-icmp", "network": "vpc", "priority": 1, "allow": ["icmp"]})
    demo.up(topology)
    yield str(request.param)
    demo.up(example(demo.name))


@pytest.mark.behaviour("3.7")
def test_tcp(demo: Program, setting: str) -> None:
    answer = demo.invoke("hello-run", f"/tcp?host={VM}&port=7&line=hello")
    assert answer["answers"][0].split()[0] in instances(demo).values(), setting


@pytest.mark.behaviour("3.7")
def test_udp(demo: Program, setting: str) -> None:
    answer = demo.invoke("hello-run", f"/udp?host={VM}&port=7&data=hello")
    assert answer["answer"].split()[0] in instances(demo).values(), setting


@pytest.mark.behaviour("3.7", "3.7.1")
def test_icmp_to_an_internal_address_is_not_supported(demo: Program, setting: str) -> None:
    """The firewall would allow it (the rule above, and behaviour 3.7.1); the connector does not carry it."""
    before = hits(demo, "vpc-vpc")["allow-icmp"]
    assert demo.invoke("hello-run", f"/ping?host={VM}")["alive"] is False, setting
    assert hits(demo, "vpc-vpc")["allow-icmp"] == before
    assert demo.execute("vm-europe", "ping", "-c1", f"-W{PATIENCE:g}", VM).returncode == 0  # from a VM it is
    assert hits(demo, "vpc-vpc")["allow-icmp"] > before


@pytest.mark.behaviour("3.7")
def test_icmp_to_an_external_address_is_supported(demo: Program, setting: str) -> None:
    assert demo.invoke("hello-run", f"/ping?host={INTERNET_HOST}")["alive"] is True, setting


@pytest.mark.behaviour("4.1.9")
def test_errors_of_udp_flows_come_back(demo: Program, setting: str) -> None:
    """Behaviour 3.7, 4.1.9: ICMP errors that belong to a flow pass; here "port unreachable"."""
    body = demo.invoke("hello-run", f"/udp?host={VM}&port=9", check=False)
    assert body["error"]["status"] == 502, (setting, body)
    assert "refused" in body["error"]["message"].lower()


def forgotten(demo: Program) -> str:
    """The namespace of the runtime, which has forgotten what it knew of the sizes of paths."""
    runtime = node_path(demo, "hello-run")
    subprocess.run(["nsenter", f"--net={runtime}", "ip", "route", "flush", "cache"], check=True)
    return runtime


def beyond(packets: list[Packet]) -> list[str]:
    """Who has sent ICMP errors: routers beyond the connector."""
    errors = [packet.source for packet in packets if packet.protocol == socket.IPPROTO_ICMP]
    return [source for source in errors if not source.startswith("35.199.")]


@pytest.mark.behaviour("4.10.6", "4.10.7")
def test_tcp_fits_into_a_vpn_tunnel_without_errors(demo: Program, setting: str) -> None:
    with arriving(forgotten(demo)) as so_far:
        answer = demo.invoke("hello-run", f"/tcp?host={ON_PREM}&port=7&line={'x' * 3000}")
        assert not beyond(so_far())
    assert answer["answers"][0].split()[0] in instances(demo).values(), setting


@pytest.mark.behaviour("4.1.9", "4.10.7")
def test_a_datagram_too_large_for_a_vpn_tunnel_is_answered_by_its_gateway(demo: Program, setting: str) -> None:
    with arriving(forgotten(demo)) as so_far:
        refused = demo.invoke("hello-run", f"/udp?host={ON_PREM}&port=7&data={'x' * 1420}", check=False)
        assert refused["error"]["status"] == 502, (setting, refused)
        assert beyond(so_far())
    answer = demo.invoke("hello-run", f"/udp?host={ON_PREM}&port=7&data={'x' * 1420}")  # in two packets now
    assert answer["answer"].split()[0] in instances(demo).values(), setting
