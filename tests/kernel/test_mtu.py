"""The size of packets: what is too large for a hop is refused, and whoever sent it learns so, or it comes in parts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from testbed.model.topology import Topology
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import sh
from tests.unit.topologies import Data, compute, connector, network, service, subnet, topology, vm
from tests.waiting import PATIENCE, eventually

HOST, PORT = "203.0.113.10", 5000
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO, IP_MTU = 10, 0, 2, 14
"""linux/in.h"""
OPEN = {"allowed": "all"}
ON_PREM = "192.168.10.5"


def sized(name: str, mtu: int, *peers: str) -> Data:
    """A network of this MTU, which exchanges its own routes with peers."""
    both = {"exportCustomRoutes": True, "importCustomRoutes": True}
    given = network(name, *peers)
    return {**given, "mtu": mtu, "peerings": [{**peering, **both} for peering in given["peerings"]]}


def behind_a_connector(mtu: int) -> Topology:
    """A service, its connector, and a VM in a network of this MTU."""
    return topology(
        compute=compute(networks=[sized("vpc", mtu)], instances=[vm("a")]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web")]},
    )


def peered(mtu: int, others: int, *services: Data, **more: list[Data]) -> Topology:
    """The same, with a second network, which has the VM `b`."""
    return topology(
        compute=compute(
            networks=[sized("vpc", mtu, "other"), sized("other", others, "vpc")],
            subnetworks=[subnet(), {**subnet("there", "10.129.0.0/20"), "network": "other"}],
            instances=[vm("a"), vm("b", "there")],
            firewalls=[{"name": f"open-{name}", "network": name, **OPEN} for name in ("vpc", "other")],
            **more,
        ),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web"), *services]},
    )


@contextmanager
def udp(
    net: Built, client: str, server: str, address: str, *, split: bool = False
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Sockets of two namespaces, the first connected to the second; what they send may be split on the way, or not."""
    with net.socket(client, socket.SOCK_DGRAM) as sender, net.socket(server, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", PORT))
        for end in (sender, receiver):
            end.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT if split else IP_PMTUDISC_DO)
        sender.connect((address, PORT))
        yield sender, receiver


def known(sender: socket.socket) -> int:
    """The MTU of the path, as far as the sender knows."""
    return sender.getsockopt(socket.IPPROTO_IP, IP_MTU)


def learns(sender: socket.socket, receiver: socket.socket, mtu: int) -> None:
    """What is one byte too large does not arrive, and is answered with the MTU; what fits then arrives."""
    assert known(sender) > mtu
    sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # of an earlier one
    with suppress(OSError):  # the error may have come before `send` returns
        sender.send(bytes(mtu + 1 - 28))
    eventually(lambda: known(sender) == mtu, f"a path of {mtu} bytes is known")
    sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sender.send(bytes(mtu - 28))
    assert len(receiver.recv(65535)) == mtu - 28


@pytest.mark.behaviour("2.6.4")
def test_a_service_learns_the_size_of_its_tunnel() -> None:
    with built(behind_a_connector(1500)) as net, udp(net, "web", "a", net.address(instance("a"))) as ends:
        learns(*ends, 1460)


@pytest.mark.behaviour("2.6.4", "4.7.3")
def test_an_error_of_the_network_comes_back_through_masquerade_and_tunnel() -> None:
    with built(behind_a_connector(1300)) as net, udp(net, "web", "a", net.address(instance("a"))) as ends:
        learns(*ends, 1300)


@pytest.mark.behaviour("2.6.4")
@pytest.mark.parametrize("mtu", [1300, 1460, 8896])
def test_what_may_be_split_arrives_whole_by_the_tunnel(mtu: int) -> None:
    with built(behind_a_connector(mtu)) as net, udp(net, "web", "a", net.address(instance("a")), split=True) as ends:
        sender, receiver = ends
        large = bytes(range(256)) * 20
        sender.send(large)
        data, source = receiver.recvfrom(65535)
        assert data == large
        receiver.sendto(large[::-1], source)
        assert sender.recv(65535) == large[::-1]


@contextmanager
def connected(net: Built, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection from the service to the VM."""
    with net.socket("a", socket.SOCK_STREAM) as listener, net.socket("web", socket.SOCK_STREAM) as client:
        listener.bind((address, PORT))
        listener.listen()
        client.connect((address, PORT))
        server, _ = listener.accept()
        with server:
            server.settimeout(PATIENCE)
            yield client, server


def whole(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether more than one segment arrives."""
    sender.sendall(bytes(60_000))
    got = 0
    while got < 60_000 and (data := receiver.recv(65536)):
        got += len(data)
    return got == 60_000


@pytest.mark.behaviour("2.6.4")
@pytest.mark.parametrize("mtu", [1460, 8896])
def test_tcp_needs_no_icmp_errors_from_beyond_the_tunnel(mtu: int) -> None:
    with built(behind_a_connector(mtu)) as net:
        for space in ("vpc-vpc", *(i.name for i in net.running.instances)):
            for chain in ("OUTPUT", "FORWARD"):
                sh(net.paths[space], f"iptables -I {chain} -p icmp -j DROP")
        with connected(net, net.address(instance("a"))) as (client, server):
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1460 - 40
            assert whole(server, client)
            assert whole(client, server)


@pytest.mark.behaviour("4.5.7", "4.7.3")
@pytest.mark.parametrize(("client", "address"), [("a", "b"), ("web", "b")])
def test_a_peer_s_smaller_mtu_is_told_by_the_sender_s_network(client: str, address: str) -> None:
    with built(peered(1500, 1300)) as net, udp(net, client, "b", net.address(instance(address))) as ends:
        learns(*ends, 1300)


@pytest.mark.behaviour("4.5.7")
def test_what_may_be_split_arrives_whole_in_a_peered_network() -> None:
    with built(peered(1300, 8896)) as net, udp(net, "b", "a", net.address(instance("a")), split=True) as ends:
        sender, receiver = ends
        sender.send(bytes(8000))
        assert len(receiver.recv(65535)) == 8000


@pytest.mark.behaviour("4.5.7", "4.10.7")
@pytest.mark.parametrize("client", ["a", "web"])
def test_an_error_from_a_router_behind_a_peered_network_comes_back(client: str) -> None:
    """A VPN gateway in the peered network, whose tunnel has less room than both networks."""
    with built(peered(1500, 1500, **classic("other"))) as net:
        gateway = net.paths["gw"]
        sh(gateway, "ip link add ipsec0 mtu 1400 type veth peer name far")
        for command in ("link set ipsec0 up", "link set far up", f"route add {ON_PREM} dev ipsec0"):
            sh(gateway, f"ip {command}")
        with net.socket(client, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            sender.connect((ON_PREM, PORT))
            with suppress(OSError):
                sender.send(bytes(1401 - 28))
            eventually(lambda: known(sender) == 1400, "a path of 1400 bytes is known")


def classic(of: str, **tunnel: object) -> dict[str, list[Data]]:
    """A classic VPN gateway of a network, with a tunnel and a route into it."""
    name = "projects/p/regions/us-central1/targetVpnGateways/gw"
    made = {"name": "tunnel", "targetVpnGateway": "gw", "peerIp": "198.51.100.77", "sharedSecret": "a-long-secret"}
    return {
        "addresses": [{"name": "gw-ip"}],
        "targetVpnGateways": [{"name": "gw", "network": of}],
        "forwardingRules": [
            {"name": "esp", "IPAddress": "gw-ip", "IPProtocol": "ESP", "target": name},
            *(
                {"name": f"udp{port}", "IPAddress": "gw-ip", "IPProtocol": "UDP", "portRange": port, "target": name}
                for port in ("500", "4500")
            ),
        ],
        "vpnTunnels": [{**made, **tunnel}],
        "routes": [{"name": "home", "network": of, "destRange": "192.168.10.0/24", "nextHopVpnTunnel": "tunnel"}],
    }


def with_external_address(mtu: int, *, nat: bool) -> Topology:
    """A VM that reaches the internet by its own address, or by Cloud NAT."""
    nic: Data = {"subnetwork": "us"} if nat else {"subnetwork": "us", "accessConfigs": [{}]}
    return topology(
        compute=compute(
            networks=[sized("vpc", mtu)],
            instances=[{"name": "a", "networkInterfaces": [nic]}],
            firewalls=[{"name": "open", "network": "vpc", **OPEN}],
            routers=[{"name": "r", "network": "vpc", "nats": [{"name": "nat"}]}] if nat else [],
        ),
        internet={"hosts": [{"name": "host", "address": HOST}]},
    )


@pytest.mark.behaviour("4.7.3")
@pytest.mark.parametrize("nat", [True, False])
def test_errors_from_the_internet_are_believed_behind_cloud_nat_too(*, nat: bool) -> None:
    with built(with_external_address(8896, nat=nat)) as net:
        sh(net.paths["internet"], "ip link set host mtu 1400")
        with udp(net, "a", "host", HOST) as ends:
            sender, receiver = ends
            with suppress(OSError):
                sender.send(bytes(3000))
            eventually(lambda: known(sender) == 1500, "the MTU of the way to the internet is known")
            learns(sender, receiver, 1400)


@pytest.mark.behaviour("4.7.3")
def test_a_host_on_the_internet_learns_the_mtu_of_a_network() -> None:
    with (
        built(with_external_address(1300, nat=False)) as net,
        udp(net, "host", "a", net.external(instance("a"))) as ends,
    ):
        learns(*ends, 1300)


@pytest.mark.behaviour("7.2", "4.5.7")
@pytest.mark.parametrize("mtu", [1300, 8896])
def test_direct_egress_has_the_mtu_of_its_network(mtu: int) -> None:
    access = {"networkInterfaces": [{"network": "vpc", "subnetwork": "us"}], "egress": "PRIVATE_RANGES_ONLY"}
    near = {"name": "near", "template": {"containers": [{}], "vpcAccess": access}}
    with built(peered(mtu, 1400, near)) as net:
        with udp(net, "near", "a", net.address(instance("a"))) as (sender, receiver):
            assert known(sender) == mtu
            sender.send(bytes(mtu - 28))
            assert len(receiver.recv(65535)) == mtu - 28
        with udp(net, "near", "b", net.address(instance("b"))) as ends:
            if mtu > 1400:
                learns(*ends, 1400)
            assert known(ends[0]) == min(mtu, 1400)
