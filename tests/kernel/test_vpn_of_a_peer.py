"""The VPN of a peered network: who may use it, and what on-premises has to be told (behaviour 4.11.6)."""

from __future__ import annotations

import socket

import pytest

from testbed.model.topology import Topology
from tests.e2e.capture import arriving
from tests.kernel.built import built, instance
from tests.kernel.test_mtu import classic
from tests.unit.topologies import compute, connector, network, service, subnet, topology, vm
from tests.waiting import eventually

ON_PREM = "192.168.10.5"


def peered(*, exports: bool, imports: bool) -> Topology:
    """`vpc` has the VPN and a VM; the connector, and the service behind it, are in `other`."""
    networks = [network("vpc", "other"), network("other", "vpc")]
    networks[0]["peerings"][0]["exportCustomRoutes"] = exports
    networks[1]["peerings"][0]["importCustomRoutes"] = imports
    subnets = [subnet(), subnet("theirs", "10.9.0.0/24", network="other")]
    return topology(
        compute=compute(networks=networks, subnetworks=subnets, instances=[vm("a")], **classic("vpc")),
        vpcaccess={"connectors": [connector(network="other")]},
        run={"services": [service("web")]},
    )


@pytest.mark.behaviour("4.11.6", "4.5.3", "4.3.1")
@pytest.mark.parametrize(("exports", "imports"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_peers_connector_uses_the_vpn_if_both_sides_exchange_custom_routes(*, exports: bool, imports: bool) -> None:
    with built(peered(exports=exports, imports=imports)) as net, arriving(net.paths["gw"], "vpc") as packets:

        def sources() -> set[str]:
            return {packet.source for packet in packets() if packet.destination == ON_PREM}

        for sender in ("web", "a"):
            with net.socket(sender, socket.SOCK_DGRAM) as client:
                client.sendto(b"?", (ON_PREM, 9))
        own = net.address(instance("a"))
        eventually(lambda: own in sources(), "the packet of the network's own VM, which was sent last")
        assert any(source.startswith("10.8.0.") for source in sources()) == (exports and imports)
