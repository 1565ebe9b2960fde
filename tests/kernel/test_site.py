"""An on-prem site with a firewall of its own: it lets in whom it knows, and answers to its hosts."""

from __future__ import annotations

import socket

import pytest

from tests.kernel.built import built
from tests.kernel.spaces import sh
from tests.unit.topologies import compute, topology
from tests.waiting import eventually

HOST, PORT, SUBNET = "192.168.10.10", 5000, "10.128.0.0/20"
KNOWN, CONNECTOR = "10.128.0.2", "10.8.0.2"


@pytest.mark.behaviour("4.11.4")
@pytest.mark.parametrize(("allowed", "seen"), [([SUBNET], [KNOWN]), ([SUBNET, "10.8.0.0/28"], [CONNECTOR, KNOWN])])
def test_a_connector_s_range_has_to_be_let_in(allowed: list[str], seen: list[str]) -> None:
    site = {
        "name": "office",
        "range": "192.168.10.0/24",
        "firewall": {"allowedSources": allowed},
        "gateway": {"name": "gw", "externalAddress": "203.0.113.50", "internalAddress": "192.168.10.1"},
        "hosts": [{"name": "host", "address": HOST}],
    }
    with (
        built(topology(compute=compute(), onPrem={"sites": [site]})) as net,
        net.socket("host", socket.SOCK_DGRAM) as host,
    ):
        host.bind(("", PORT))
        for source in (CONNECTOR, KNOWN):  # in the place of what comes out of a tunnel
            sh(net.paths["gw"], f"ip address add {source}/32 dev lo")
            with net.socket("gw", socket.SOCK_DGRAM) as client:
                client.bind((source, 0))
                client.sendto(b"?", (HOST, PORT))
                if source in seen:
                    assert host.recvfrom(64)[1][0] == source
                    host.sendto(b"!", client.getsockname())
                    assert client.recv(64) == b"!"
        refused = 2 - len(seen)
        eventually(lambda: net.packets("site-office", "on-prem-firewall") == refused, "what is not let in is counted")
