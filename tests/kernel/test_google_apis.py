"""Google's addresses with real packets, where the networks of the oracle's proof do not come: from on premises."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial

import pytest

from testbed.kernel import namespace
from testbed.kernel.apply import apply
from tests.kernel.built import built, instance
from tests.kernel.spaces import answering, ask, sh, spaces
from tests.unit.topologies import compute, connector, network, plan, service, topology, vm
from tests.waiting import PATIENCE, QUIET, patience

PRIVATE, PORT = "199.36.153.8", 443
ON_PREM = "192.168.10.5"


def of(**more: object) -> dict[str, object]:
    """A network with a classic VPN gateway, and Cloud NAT for all of its subnets."""
    gateway = "projects/p/regions/us-central1/targetVpnGateways/gw"
    rules = [
        {"name": name, "IPAddress": "gw-ip", "IPProtocol": protocol, "target": gateway, **ports}
        for name, protocol, ports in (
            ("esp", "ESP", {}),
            ("udp500", "UDP", {"portRange": "500"}),
            ("udp4500", "UDP", {"portRange": "4500"}),
        )
    ]
    tunnel = {"name": "tunnel", "targetVpnGateway": "gw", "peerIp": "198.51.100.77", "sharedSecret": "a-long-secret"}
    route = {"name": "home", "network": "vpc", "destRange": "192.168.10.0/24", "nextHopVpnTunnel": "tunnel"}
    return compute(
        instances=[vm("a")],
        addresses=[{"name": "gw-ip"}],
        targetVpnGateways=[{"name": "gw", "network": "vpc"}],
        forwardingRules=rules,
        vpnTunnels=[tunnel],
        routes=[route],
        routers=[{"name": "r", "network": "vpc", "nats": [{"name": "nat"}]}],
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.behaviour("4.8.3", "4.13.7")
def test_on_prem_hosts_have_the_vips_by_their_tunnel_and_are_seen_as_they_are() -> None:
    planned = plan(topology(compute=of()))
    with spaces(*(space.name for space in planned.namespaces)) as paths:
        apply(planned, paths)
        sh(paths["gw"], f"ip address add {ON_PREM}/32 dev lo")  # in the place of what comes out of the tunnel
        with answering(paths["edge-vpc"], (PRIVATE, PORT), "apis"), _client(paths["gw"]) as client:
            client.connect((PRIVATE, PORT))
            assert ask(client) == "apis"
        with answering(paths["gw"], (ON_PREM, PORT), "on-prem"):
            connection = namespace.connect(paths["a"], (ON_PREM, PORT), PATIENCE)
            with connection:
                assert ask(connection) == "on-prem"
                seen = sh(paths["gw"], "ss -Htn state established").split()
        assert any(word.startswith("10.128.0.2:") for word in seen)  # not by Cloud NAT: another next hop


@pytest.mark.behaviour("1.6.5", "3.3.4", "4.8.1")
@pytest.mark.parametrize("route", [True, False])
def test_a_connector_made_by_a_range_reaches_googles_apis_without_nat(route: bool) -> None:
    """Its hidden subnet has Private Google Access, which needs the route to the default internet gateway."""
    given = topology(
        compute=compute(networks=[{**network(), "deleteDefaultRoutesOnCreate": not route}]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web", egress="ALL_TRAFFIC")]},
    )
    with built(given) as net, net.socket("web", socket.SOCK_STREAM) as client:
        client.settimeout(patience(route))
        with answering(net.paths["edge-vpc"], (PRIVATE, PORT), "apis"), suppress(OSError):
            client.connect((PRIVATE, PORT))
            assert ask(client) == "apis"
            assert route
            return
        assert not route


@pytest.mark.behaviour("4.3.11", "2.1.6")
def test_probers_answer_nothing_that_they_have_not_asked_for() -> None:
    """Neither by a reset nor by an error; what they open has its answers."""
    flexible = {
        "name": "apps/p/services/flexible/versions/v1",
        "env": "flex",
        "deployment": {"zip": {"sourceUrl": "app"}},
        "network": {"name": "vpc", "subnetworkName": "us"},
    }
    given = topology(
        compute=compute(instances=[vm("a")], firewalls=[{"name": "in", "network": "vpc", "allowed": "all"}]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web")]},
        appengine={"application": {"id": "p", "locationId": "us-central1"}, "versions": [flexible]},
    )
    with built(given) as net:
        for address in ("35.191.0.2", "35.191.0.3", "130.211.0.1"):
            with net.socket("a", socket.SOCK_STREAM) as client, net.socket("a", socket.SOCK_DGRAM) as datagram:
                client.settimeout(QUIET)
                with pytest.raises(TimeoutError):
                    client.connect((address, 80))
                datagram.connect((address, 80))
                datagram.send(b"?")
                datagram.settimeout(QUIET)
                with pytest.raises(TimeoutError):
                    datagram.recv(64)
        server = (net.address(instance("a")), 80)
        with answering(net.paths["a"], server, "a"):
            connection = namespace.connect(net.paths["google-vpc"], server, PATIENCE)
            with connection:
                assert ask(connection) == "a"


def _client(path: str) -> socket.socket:
    def made() -> socket.socket:
        client = socket.socket()
        client.settimeout(PATIENCE)
        client.bind((ON_PREM, 0))
        return client

    return namespace.inside(path, partial(made))
