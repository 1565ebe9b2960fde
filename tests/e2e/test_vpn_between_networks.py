"""HA VPN between two networks of Google's: four tunnels' ends, of which each pair is a path, and both are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.capture import arriving, node_path
from tests.e2e.hybrid import CLOUD, SECRET
from tests.e2e.rest import Rest, client_of
from tests.e2e.small import file, program
from tests.waiting import eventually

NETWORKS, ASNS = ("vpc", "other"), (CLOUD, CLOUD + 1)
ADDRESSES = ("10.128.0.2", "10.129.0.2")
TUNNELS = "compute/v1/projects/small/regions/us-central1/vpnTunnels"


def joined(name: str, secrets: tuple[str, str] = (SECRET, SECRET)) -> dict[str, Any]:
    """Two networks, each with a VM and a gateway; `secrets` are those of the tunnels 1 of both."""
    place = {"region": "us-central1", "zone": "us-central1-a"}
    return {
        "name": name,
        "project": "small",
        **place,
        "compute": {
            "networks": [{"name": network} for network in NETWORKS],
            "subnetworks": [
                {"name": network, "network": network, "ipCidrRange": f"10.{128 + index}.0.0/20"}
                for index, network in enumerate(NETWORKS)
            ],
            "firewalls": [{"name": f"open-{network}", "network": network, "allowed": "all"} for network in NETWORKS],
            "instances": [
                {"name": f"vm-{network}", "networkInterfaces": [{"subnetwork": network, "networkIP": address}]}
                for network, address in zip(NETWORKS, ADDRESSES, strict=True)
            ],
            "vpnGateways": [{"name": f"ha-{network}", "network": network} for network in NETWORKS],
            "vpnTunnels": [
                {
                    "name": f"{network}-{index}",
                    "vpnGateway": f"ha-{network}",
                    "vpnGatewayInterface": index,
                    "router": f"router-{network}",
                    "peerGcpGateway": f"ha-{NETWORKS[1 - side]}",
                    "sharedSecret": secrets[side] if index else SECRET,
                }
                for side, network in enumerate(NETWORKS)
                for index in range(2)
            ],
            "routers": [
                {
                    "name": f"router-{network}",
                    "network": network,
                    "bgp": {"asn": ASNS[side]},
                    "interfaces": [
                        {
                            "name": f"if-{index}",
                            "ipRange": f"169.254.{index}.{side + 1}/30",
                            "linkedVpnTunnel": f"{network}-{index}",
                        }
                        for index in range(2)
                    ],
                    "bgpPeers": [
                        {
                            "name": f"peer-{index}",
                            "interfaceName": f"if-{index}",
                            "peerIpAddress": f"169.254.{index}.{2 - side}",
                            "peerAsn": ASNS[1 - side],
                        }
                        for index in range(2)
                    ],
                }
                for side, network in enumerate(NETWORKS)
            ],
        },
    }


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with program(tmp_path_factory.mktemp("pair"), "pair") as bed:
        yield Rest.up(bed, joined(bed.name))


def statuses(api: Rest) -> set[str]:
    return {tunnel["status"] for tunnel in api.call("GET", TUNNELS)["items"]}


@pytest.mark.behaviour("4.10.1", "4.10.3", "4.11.1")
def test_flows_between_two_networks_use_both_tunnels(api: Rest) -> None:
    bed = api.bed
    eventually(lambda: statuses(api) == {"ESTABLISHED"}, "all tunnels are up")
    eventually(lambda: client_of(bed, "vm-vpc", f"http://{ADDRESSES[1]}/") == ADDRESSES[0], "an answer by the VPN")
    with ExitStack() as stack:
        taps = [stack.enter_context(arriving(node_path(bed, f"other-{index}"), "ipsec0")) for index in range(2)]

        def both() -> bool:
            """Each request is a flow, which the kernel sends by one of the tunnels."""
            client_of(bed, "vm-vpc", f"http://{ADDRESSES[1]}/")
            return all(any(packet.source == ADDRESSES[0] for packet in tap()) for tap in taps)

        eventually(both, "flows by both tunnels")


def says(api: Rest, tunnel: str, status: str) -> None:
    eventually(lambda: api.call("GET", f"{TUNNELS}/{tunnel}")["status"] == status, f"{tunnel} {status}")


@pytest.mark.behaviour("4.10.2", "4.10.3")
def test_a_tunnel_whose_secrets_differ_says_so_and_the_other_carries_all(api: Rest) -> None:
    bed = api.bed
    bed.run("up", file(bed, joined(bed.name, (SECRET, "another secret"))))
    says(api, "vpc-1", "AUTHORIZATION_ERROR")
    says(api, "vpc-0", "ESTABLISHED")
    eventually(lambda: client_of(bed, "vm-vpc", f"http://{ADDRESSES[1]}/") == ADDRESSES[0], "an answer by the VPN")
    bed.run("up", file(bed, joined(bed.name)))
    says(api, "vpc-1", "ESTABLISHED")
