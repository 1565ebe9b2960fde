"""Google's addresses with real packets, where the networks of the oracle's proof do not come: from on premises."""

from __future__ import annotations

import socket
from functools import partial

import pytest

from testbed.kernel import namespace
from testbed.kernel.apply import apply
from tests.kernel.spaces import answering, ask, sh, spaces
from tests.unit.topologies import compute, plan, topology, vm
from tests.waiting import PATIENCE

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


def _client(path: str) -> socket.socket:
    def made() -> socket.socket:
        client = socket.socket()
        client.settimeout(PATIENCE)
        client.bind((ON_PREM, 0))
        return client

    return namespace.inside(path, partial(made))
