"""What a fresh network lets through, and what the rules of the default network add: real packets, no other rules."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest

from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask, ip
from tests.unit.topologies import Data, compute, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET, patience

HOST = "203.0.113.10"
INTERNAL = {"allowed": "tcp:0-65535,udp:0-65535,icmp", "sourceRanges": ["10.128.0.0/9"]}
RULES: dict[str, Data] = {
    "default-allow-internal": INTERNAL,
    "default-allow-ssh": {"allowed": "tcp:22"},
    "default-allow-rdp": {"allowed": "tcp:3389"},
    "default-allow-icmp": {"allowed": "icmp"},
}
ECHO_REQUEST, ECHO_REPLY = b"\x08\0\xf7\xff\0\0\0\0", 0
"""RFC 792: an echo request without data, identifier and number 0; and the type of its answer."""


@contextmanager
def network(rules: dict[str, Data]) -> Iterator[Built]:
    """A VM with an external address, another one in the next region, and a host in the internet."""
    subnets = [subnet("us", "10.128.0.0/20"), subnet("europe", "10.132.0.0/20", region="europe-west1")]
    external = {"networkInterfaces": [{"subnetwork": "us", "accessConfigs": [{}]}]}
    there = "projects/p/regions/europe-west1/subnetworks/europe"
    machines = [{"name": "a", **external}, vm("b", there, zone="europe-west1-b")]
    made = [{"name": name, "network": "vpc", "priority": 65534, **rule} for name, rule in rules.items()]
    given = topology(
        compute=compute(subnetworks=subnets, instances=machines, firewalls=made),
        internet={"hosts": [{"name": "host", "address": HOST}]},
    )
    with built(given) as net:
        yield net


def are_open(net: Built, sender: str, address: str, ports: Mapping[int, bool]) -> bool:
    """Whether of these ports of the VM `a` those that should answer a sender do, and no others."""
    found = {}
    for port, expected in ports.items():
        with answering(net.paths["a"], ("", port), "a"), net.socket(sender, socket.SOCK_STREAM) as client:
            client.settimeout(patience(expected))
            found[port] = False
            with suppress(TimeoutError):
                client.connect((address, port))
                found[port] = ask(client) == "a"
    return found == ports


def pings(net: Built, sender: str, address: str, *, within: float = PATIENCE) -> bool:
    """Whether an echo request is answered by the address that it was sent to."""
    with net.socket(sender, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(within)
        raw.sendto(ECHO_REQUEST, (address, 0))
        with suppress(TimeoutError):
            while True:
                data, (source, _) = raw.recvfrom(256)
                if source == address and data[20] == ECHO_REPLY:
                    return True
    return False


@pytest.mark.behaviour("4.1.19")
def test_the_default_networks_rules() -> None:
    """All between its subnets, and SSH, RDP and ping from anywhere."""
    with network(RULES) as net:
        inside, outside = net.address(instance("a")), net.external(instance("a"))
        assert are_open(net, "b", inside, {22: True, 80: True, 3389: True})
        assert are_open(net, "host", outside, {22: True, 80: False, 3389: True})
        assert pings(net, "b", inside)
        assert pings(net, "host", outside)
        assert net.packets("vpc-vpc", "implied-deny-ingress") == 1
        assert net.packets("vpc-vpc", "default-allow-icmp") >= 1


@pytest.mark.behaviour("4.1.20")
def test_a_fresh_network_has_the_implied_rules_only() -> None:
    """Nothing gets in, everything gets out."""
    with network({}) as net:
        assert are_open(net, "b", net.address(instance("a")), {22: False, 80: False})
        assert are_open(net, "host", net.external(instance("a")), {22: False, 80: False})
        assert not pings(net, "b", net.address(instance("a")), within=QUIET)
        assert net.packets("vpc-vpc", "implied-deny-ingress") == 5
        assert pings(net, "a", HOST)


@pytest.mark.behaviour("4.4.6")
def test_the_gateway_is_the_next_hop_and_answers_no_ping() -> None:
    """A VM has a /32; what it sends to the gateway's own address gets no answer, what it sends by it does."""
    with network(RULES) as net:
        (device,) = [d for d in ip(net.paths["a"], "address show dev eth0") if d]
        assert [(a["local"], a["prefixlen"]) for a in device["addr_info"]] == [(net.address(instance("a")), 32)]
        (default,) = ip(net.paths["a"], "route show default")
        assert default["gateway"] == "10.128.0.1"
        assert not pings(net, "a", "10.128.0.1", within=QUIET)
        assert pings(net, "a", net.address(instance("b", "europe-west1-b")))
