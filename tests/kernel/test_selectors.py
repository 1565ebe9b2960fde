"""What a classic VPN gateway lets pass: only what its tunnels' traffic selectors cover, and nothing unencrypted."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from testbed.fabric.allocation.keys import AddressKey
from testbed.model.drop_causes import NO_SELECTOR, VPN_LOCAL_SELECTOR, VPN_REMOTE_SELECTOR
from testbed.model.topology import Topology
from tests.e2e.capture import arriving
from tests.kernel.built import Built, built
from tests.kernel.spaces import sh
from tests.kernel.test_mtu import classic
from tests.unit.topologies import compute, connector, service, topology, vm
from tests.waiting import eventually

SUBNET, REMOTE, ON_PREM = "10.128.0.0/20", "192.168.10.0/24", "192.168.10.5"


def behind(**selectors: Any) -> Topology:
    """A VM and a service with a connector, and a tunnel to on-premises."""
    return topology(
        compute=compute(instances=[vm("a")], **classic("vpc", **selectors)),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web")]},
    )


def tried(net: Built, sender: str, destination: str = ON_PREM) -> None:
    with net.socket(sender, socket.SOCK_DGRAM) as client:
        client.sendto(b"?", (destination, 9))


def counted(net: Built, cause: str) -> None:
    eventually(lambda: net.packets("gw", cause) == 1, f"one packet is dropped as {cause}")


@pytest.mark.behaviour("4.11.3", "4.10.4", "4.3.8")
@pytest.mark.parametrize("sender", ["a", "web"])
def test_nothing_leaves_unencrypted_while_no_tunnel_is_up(sender: str) -> None:
    with built(behind()) as net, arriving(net.paths["internet"], "gw") as leaking:
        tried(net, sender)
        counted(net, NO_SELECTOR.id)
        assert not [packet for packet in leaking() if packet.protocol == socket.IPPROTO_UDP]


@pytest.mark.behaviour("4.11.3", "4.10.4")
@pytest.mark.parametrize("covered", [False, True])
def test_a_connector_s_range_has_to_be_in_the_local_selectors(*, covered: bool) -> None:
    local = [SUBNET, "10.8.0.0/28"] if covered else [SUBNET]
    with built(behind(localTrafficSelector=local, remoteTrafficSelector=[REMOTE])) as net:
        for command in (
            "link add ipsec0 type veth peer name far",
            "link set ipsec0 up",
            "link set far up",
            f"route add {REMOTE} dev ipsec0",
            f"neigh add {ON_PREM} lladdr 02:00:00:00:00:01 dev ipsec0",
        ):
            sh(net.paths["gw"], f"ip {command}")
        with arriving(net.paths["gw"], "far") as encrypted:
            tried(net, "web")
            if covered:
                eventually(
                    lambda: any(packet.source.startswith("10.8.0.") for packet in encrypted()), "the connector's"
                )
                return
            counted(net, VPN_LOCAL_SELECTOR.id)
            tried(net, "a")
            eventually(lambda: "10.128.0.2" in {packet.source for packet in encrypted()}, "the VM's packet")
            assert not [packet for packet in encrypted() if packet.source.startswith("10.8.0.")]


@pytest.mark.behaviour("4.10.4")
def test_a_route_may_lead_more_into_a_tunnel_than_its_remote_selectors_cover() -> None:
    with built(behind(remoteTrafficSelector=["192.168.10.0/25"])) as net:
        tried(net, "a", "192.168.10.200")
        counted(net, VPN_REMOTE_SELECTOR.id)
        assert net.packets("gw", NO_SELECTOR.id) == 0


@pytest.mark.behaviour("4.10.4")
def test_what_comes_from_the_internet_unencrypted_does_not_get_into_the_network() -> None:
    with built(behind()) as net:
        external = net.running.address(AddressKey.reserved("projects/p/regions/us-central1/addresses/gw-ip"))
        sh(net.paths["internet"], f"ip route add {SUBNET} via {external} dev gw onlink")
        with net.socket("internet", socket.SOCK_DGRAM) as client:
            client.sendto(b"?", ("10.128.0.2", 9))
        counted(net, NO_SELECTOR.id)
