"""The role `vpn`: an IPsec tunnel between two gateways, whichever starts first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.control.watch.observation import handshake
from testbed.fabric.plan import Node
from testbed.kernel import namespace
from testbed.kernel.command import run
from tests.e2e.test_configure import Nodes, becomes
from tests.waiting import PATIENCE, QUIET, TRY, eventually

OUTER = {"cloud": "198.51.100.2", "office": "198.51.100.3"}
INNER = {"cloud": "10.128.0.1", "office": "192.168.10.1"}
SECRET = "shared {{ lookup('pipe', 'id') }} \"} secret"
TUNNEL = "tunnel"


def gateway(
    name: str, peer: str, local: str, remote: str, *, version: int = 2, secret: str = SECRET, cipher: str = "ANY"
) -> Node:
    tunnel = {
        "name": TUNNEL,
        "local_address": OUTER[name],
        "peer_address": OUTER[peer],
        "ike_version": version,
        "shared_secret": secret,
        "initiate": True,
        "local_selectors": [local],
        "remote_selectors": [remote],
        "cipher": cipher,
    }
    return Node(
        name=name,
        kind="vpn-gateway",
        image="testbed/vpn",
        capabilities=("NET_ADMIN", "NET_BIND_SERVICE"),
        devices=("/dev/net/tun",),
        role="vpn",
        variables={"tunnels": (tunnel,), "interface": {}},
    )


def pair(version: int = 2, office_secret: str = SECRET, cipher: str = "AES-GCM") -> tuple[Node, Node]:
    """A cloud gateway that leaves the selectors to its peer, which IKE version 1 does not have, and its peer."""
    here, there = ("0.0.0.0/0", "0.0.0.0/0") if version == 2 else ("10.128.0.0/20", "192.168.10.0/24")
    cloud = gateway("cloud", "office", here, there, version=version)
    office = gateway(
        "office", "cloud", "192.168.10.0/24", "10.128.0.0/20", version=version, secret=office_secret, cipher=cipher
    )
    return cloud, office


def inside(nodes: Nodes, name: str, *command: str) -> str:
    container = nodes.containers[name]
    container.reload()
    return namespace.inside(f"/proc/{container.attrs['State']['Pid']}/ns/net", lambda: run(command))


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Nodes]:
    """The two containers, with a cable between them."""
    made = Nodes(tmp_path)
    try:
        made.start(*pair())
        pids = [str(container.attrs["State"]["Pid"]) for container in made.containers.values()]
        run(["ip", "link", "add", "wan", "netns", pids[0], "type", "veth", "peer", "name", "wan", "netns", pids[1]])
        for name in made.containers:
            inside(made, name, "ip", "address", "add", f"{OUTER[name]}/24", "dev", "wan")
            inside(made, name, "ip", "address", "add", f"{INNER[name]}/32", "dev", "lo")
            inside(made, name, "ip", "link", "set", "wan", "up")
        yield made
    finally:
        made.close()


def answers(nodes: Nodes, *, within: float = TRY) -> bool:
    """Whether the office answers the cloud through the tunnel."""
    ping = ["ping", "-c1", f"-W{within:g}", "-q", "-I", INNER["cloud"], INNER["office"]]
    return nodes.containers["cloud"].exec_run(ping).exit_code == 0


def comes_up(nodes: Nodes) -> None:
    eventually(lambda: answers(nodes), "an answer by the tunnel")


@pytest.mark.behaviour("4.10.2", "4.10.8", "4.10.11")
@pytest.mark.parametrize("version", [1, 2])
def test_the_tunnel_comes_up_with_aes_gcm(gateways: Nodes, version: int) -> None:
    gateways.configure(*pair(version))
    comes_up(gateways)
    associations = gateways.run("cloud", "swanctl", "--list-sas")
    assert f"IKEv{version}" in associations
    assert "ESP:AES_GCM_16-128" in associations
    assert gateways.run("cloud", "stat", "-c", "%a", "/etc/swanctl/conf.d/testbed.conf") == "600"


@pytest.mark.parametrize("first", ["cloud", "office"])
def test_it_comes_up_whichever_gateway_is_configured_first(gateways: Nodes, first: str) -> None:
    nodes = {node.name: node for node in pair()}
    gateways.configure(nodes[first])
    gateways.configure(*nodes.values())
    comes_up(gateways)


def test_it_comes_back_after_a_gateway_s_daemon_has_died(gateways: Nodes) -> None:
    gateways.configure(*pair())
    comes_up(gateways)
    gateways.run("office", "sv", "kill", "charon")
    comes_up(gateways)


def test_a_daemon_that_hangs_is_started_anew(gateways: Nodes) -> None:
    gateways.configure(*pair())
    comes_up(gateways)
    gateways.run("office", "sv", "pause", "charon")
    cloud, office = pair()
    gateways.configure(cloud, office, unfinished={"office"})
    comes_up(gateways)


@pytest.mark.behaviour("4.10.2")
def test_another_shared_secret_keeps_it_down_until_both_have_it(gateways: Nodes) -> None:
    gateways.configure(*pair(office_secret="another secret"))
    becomes(lambda: gateways.containers["cloud"].logs().decode(), "N(AUTH_FAILED)")
    assert not answers(gateways, within=QUIET)
    gateways.configure(*pair())
    comes_up(gateways)


def fits(nodes: Nodes, size: int, *, within: float = PATIENCE) -> bool:
    """Whether a packet of so many bytes goes through the tunnel in one piece."""
    ping = [
        "ping",
        "-c1",
        f"-W{within:g}",
        "-q",
        "-M",
        "do",
        "-s",
        str(size - 28),
        "-I",
        INNER["cloud"],
        INNER["office"],
    ]
    return nodes.containers["cloud"].exec_run(ping).exit_code == 0


@pytest.mark.behaviour("4.10.6", "4.10.8")
@pytest.mark.parametrize(("cipher", "mtu"), [("AES-GCM", 1400), ("AES-CBC-SHA256", 1390), ("AES-CBC-SHA512", 1374)])
def test_the_payload_s_mtu_is_that_of_the_cipher_that_the_peer_takes(gateways: Nodes, cipher: str, mtu: int) -> None:
    gateways.configure(*pair(cipher=cipher))
    comes_up(gateways)
    becomes(lambda: gateways.run("cloud", "ip", "link", "show", "ipsec0"), f"mtu {mtu} ")
    becomes(lambda: gateways.run("office", "ip", "link", "show", "ipsec0"), f"mtu {mtu} ")
    assert fits(gateways, mtu)
    assert not fits(gateways, mtu + 1, within=QUIET)


def fails(nodes: Nodes, status: str) -> None:
    """The cloud's daemon says why there is no tunnel: what the API shows is made of its log."""

    def said() -> str:
        return str(handshake(nodes.containers["cloud"].logs().decode(), OUTER["office"]))

    eventually(lambda: said() == status, status)
    assert not answers(nodes, within=QUIET)


@pytest.mark.behaviour("4.10.3")
def test_the_status_says_that_the_shared_secrets_differ(gateways: Nodes) -> None:
    gateways.configure(*pair(office_secret="another secret"))
    fails(gateways, "AUTHORIZATION_ERROR")


@pytest.mark.behaviour("4.10.3", "4.10.4")
def test_the_status_says_that_no_selector_was_acceptable(gateways: Nodes) -> None:
    cloud = gateway("cloud", "office", "10.0.0.0/24", "172.16.0.0/24")
    gateways.configure(cloud, gateway("office", "cloud", "192.168.10.0/24", "10.128.0.0/20"))
    fails(gateways, "NEGOTIATION_FAILURE")


@pytest.mark.behaviour("4.10.3")
def test_the_status_says_that_the_peer_is_silent(gateways: Nodes) -> None:
    inside(gateways, "office", "ip", "link", "set", "wan", "down")
    gateways.configure(pair()[0])
    fails(gateways, "NO_INCOMING_PACKETS")


@pytest.mark.behaviour("4.10.4")
def test_only_what_the_selectors_cover_goes_through(gateways: Nodes) -> None:
    """The other address of the office is behind the same peer, and nobody's selector has it."""
    cloud = gateway("cloud", "office", "10.128.0.0/20", "192.168.10.0/24")
    gateways.configure(cloud, gateway("office", "cloud", "192.168.10.0/24", "10.128.0.0/20"))
    comes_up(gateways)
    for name, address in (("cloud", "10.8.0.1"), ("office", "192.168.11.1")):
        inside(gateways, name, "ip", "address", "add", f"{address}/32", "dev", "lo")
    for source, destination in (("10.8.0.1", INNER["office"]), (INNER["cloud"], "192.168.11.1")):
        ping = ["ping", "-c1", f"-W{QUIET:g}", "-q", "-I", source, destination]
        assert gateways.containers["cloud"].exec_run(ping).exit_code != 0
    assert answers(gateways, within=PATIENCE)
