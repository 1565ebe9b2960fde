"""What always passes and what never does, whatever the rules say; and protocols besides TCP, UDP and ICMP."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from testbed.model.core.ranges import METADATA_SERVER
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask
from tests.unit.topologies import Data, compute, connector, network, service, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET, patience

HOST = "203.0.113.10"
ALL = {"name": "all", "network": "vpc", "allowed": "all"}
EXTERNAL: Data = {"accessConfigs": [{}]}
ROUTER = {"name": "r", "network": "vpc", "nats": [{"name": "nat"}]}


def external(name: str) -> Data:
    """A VM with an external address."""
    return {"name": name, "networkInterfaces": [{"subnetwork": "us", **EXTERNAL}]}


def made(*rules: Data) -> Iterator[Built]:
    given = topology(
        compute=compute(instances=[external("a"), vm("b"), vm("c")], firewalls=[*rules], routers=[ROUTER]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web", egress="ALL_TRAFFIC")]},
        internet={"hosts": [{"name": "host", "address": HOST}]},
    )
    with built(given) as network:
        yield network


@pytest.fixture(scope="module")
def allowing() -> Iterator[Built]:
    yield from made(ALL)


def raw(net: Built, space: str, protocol: int) -> socket.socket:
    return net.socket(space, socket.SOCK_RAW, protocol)


Packet = tuple[int, bytes]
"""A protocol's number, and what comes after the header of IP."""


def arrives(
    net: Built, sender: str, address: str, receiver: str, packet: Packet, *, within: float = PATIENCE
) -> str | None:
    """The source address of the packet at the receiver; None if it does not arrive."""
    protocol, data = packet
    with raw(net, sender, protocol) as out, raw(net, receiver, protocol) as into:
        out.sendto(data, (address, 0))
        into.settimeout(within)
        with suppress(TimeoutError):
            received, (source, _) = into.recvfrom(2048)
            assert received.endswith(data)
            return str(source)
    return None


def connects(net: Built, sender: str, address: str, port: int, *, within: float = PATIENCE) -> bool:
    with net.socket(sender, socket.SOCK_STREAM) as client:
        client.settimeout(within)
        try:
            client.connect((address, port))
        except TimeoutError:
            return False
        return ask(client) == "there"


def datagram(
    net: Built, sender: str, receiver: str, address: tuple[str, int], source: int = 0, *, within: float = PATIENCE
) -> bool:
    """Whether a datagram arrives."""
    with net.socket(sender, socket.SOCK_DGRAM) as out, net.socket(receiver, socket.SOCK_DGRAM) as into:
        out.bind(("", source))
        into.bind(("", address[1]))
        out.sendto(b"?", address)
        return bool(select.select([into], [], [], within)[0])


@pytest.mark.behaviour("4.2.2")
@pytest.mark.parametrize("sender", ["a", "b", "web"])
def test_mail_does_not_leave_for_external_addresses(allowing: Built, sender: str) -> None:
    before = allowing.packets("vpc-vpc", "smtp-blocked")
    with (
        answering(allowing.paths["host"], (HOST, 25), "there"),
        answering(allowing.paths["host"], (HOST, 587), "there"),
    ):
        assert connects(allowing, sender, HOST, 587)
        assert not connects(allowing, sender, HOST, 25, within=QUIET)
    assert allowing.packets("vpc-vpc", "smtp-blocked") == before + 1


@pytest.mark.behaviour("4.2.2")
def test_an_external_address_of_the_cloud_itself_takes_no_mail_either(allowing: Built) -> None:
    address = allowing.external(instance("a"))
    before = allowing.packets("vpc-vpc", "smtp-blocked")
    with answering(allowing.paths["a"], ("", 25), "there"):
        assert not connects(allowing, "b", address, 25, within=QUIET)
        assert allowing.packets("vpc-vpc", "smtp-blocked") == before + 1
        assert connects(allowing, "b", allowing.address(instance("a")), 25)  # internal addresses do
        assert connects(allowing, "host", address, 25)  # and what comes in is a matter of the rules


@pytest.mark.behaviour("4.2.2")
def test_dhcp_offers_do_not_get_into_a_vm(allowing: Built) -> None:
    address, before = allowing.address(instance("b")), allowing.packets("vpc-vpc", "dhcp-blocked")
    assert datagram(allowing, "a", "b", (address, 67))
    assert not datagram(allowing, "a", "b", (address, 68), within=QUIET)
    assert allowing.packets("vpc-vpc", "dhcp-blocked") == before + 1


@pytest.mark.behaviour("4.2.2")
def test_dhcp_answers_do_not_get_into_a_vm(allowing: Built) -> None:
    before = allowing.packets("vpc-vpc", "dhcp-blocked")
    server = allowing.address(instance("c"))
    with allowing.socket("b", socket.SOCK_DGRAM) as asker, allowing.socket("c", socket.SOCK_DGRAM) as answerer:
        asker.bind(("", 68))
        answerer.bind(("", 67))
        asker.sendto(b"discover", (server, 67))
        _, sender = answerer.recvfrom(64)
        answerer.sendto(b"offer", sender)
        assert not select.select([asker], [], [], QUIET)[0]
    assert allowing.packets("vpc-vpc", "dhcp-blocked") == before + 1


def crc32c(data: bytes) -> int:
    """RFC 9260, appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def sctp_init(port: int) -> bytes:
    """The first packet of an SCTP association."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 1)
    head = struct.pack("!HHI", 40000, port, 0)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


PACKETS: dict[str, Packet] = {
    "ipip": (4, bytes(20)),
    "gre": (47, bytes.fromhex("00000800") + bytes(20)),
    "esp": (50, struct.pack("!II", 9, 1)),
    "ah": (51, bytes(24)),
    "sctp": (132, sctp_init(7000)),
    "ospf": (89, b"hello"),
}
NAMED = {"gre": "47", "ospf": "89"}
"""Protocols that a rule names by number."""


@pytest.mark.behaviour("4.1.8")
@pytest.mark.parametrize("protocol", PACKETS)
def test_a_rule_lets_its_own_protocol_in_and_no_other(protocol: str) -> None:
    rule = {"name": "one", "network": "vpc", "allowed": [{"IPProtocol": NAMED.get(protocol, protocol)}]}
    machines = [vm("a"), vm("b")]
    with built(topology(compute=compute(instances=machines, firewalls=[rule]))) as net:
        address = net.address(instance("b"))
        for name, packet in PACKETS.items():
            expected = net.address(instance("a")) if name == protocol else None
            assert arrives(net, "a", address, "b", packet, within=patience(expected)) == expected, name
        assert net.packets("vpc-vpc", "one") == 1


@pytest.mark.behaviour("4.1.8")
def test_ports_of_sctp() -> None:
    rule = {"name": "one", "network": "vpc", "allowed": "sctp:7000"}
    with built(topology(compute=compute(instances=[vm("a"), vm("b")], firewalls=[rule]))) as net:
        address = net.address(instance("b"))
        assert arrives(net, "a", address, "b", (132, sctp_init(7001)), within=QUIET) is None
        assert arrives(net, "a", address, "b", (132, sctp_init(7000)))


@pytest.mark.behaviour("4.2.2")
@pytest.mark.parametrize("protocol", PACKETS)
def test_external_addresses_take_some_protocols_only(allowing: Built, protocol: str) -> None:
    packet = PACKETS[protocol]
    address, blocked = allowing.external(instance("a")), protocol == "ospf"
    before = allowing.packets("vpc-vpc", "protocol-blocked")
    expected = None if blocked else HOST
    assert arrives(allowing, "host", address, "a", packet, within=patience(expected)) == expected
    assert arrives(allowing, "b", allowing.address(instance("c")), "c", packet)
    assert allowing.packets("vpc-vpc", "protocol-blocked") == before + blocked


@pytest.mark.behaviour("4.2.2")
def test_no_other_protocol_leaves_for_the_internet(allowing: Built) -> None:
    before = allowing.packets("vpc-vpc", "protocol-blocked")
    assert arrives(allowing, "a", HOST, "host", PACKETS["ospf"], within=QUIET) is None
    assert allowing.packets("vpc-vpc", "protocol-blocked") == before + 1
    assert arrives(allowing, "a", HOST, "host", PACKETS["esp"]) == allowing.external(instance("a"))


@pytest.mark.behaviour("4.2.1")
def test_the_metadata_server_and_a_vms_own_address_are_always_reached() -> None:
    nothing = {"network": "vpc", "priority": 0, "denied": "all"}
    rules = [{"name": "out", "direction": "EGRESS", **nothing}, {"name": "in", **nothing}]
    with built(topology(compute=compute(instances=[vm("a"), vm("b")], firewalls=rules))) as net:
        own, server = net.address(instance("a")), str(METADATA_SERVER)
        with answering(net.paths["a"], (own, 80), "there"):
            assert connects(net, "a", own, 80)
        with answering(net.paths["vpc-vpc"], (server, 80), "there"):
            assert connects(net, "a", server, 80)
        with answering(net.paths["b"], ("", 80), "there"):
            assert not connects(net, "a", net.address(instance("b")), 80, within=QUIET)
        assert net.packets("vpc-vpc", "out") == 1


@pytest.mark.behaviour("4.1.18")
def test_peers_filter_for_themselves() -> None:
    rule = {"name": "in", "allowed": "udp"}
    given = topology(
        compute=compute(
            networks=[network("vpc", "other"), network("other", "vpc")],
            subnetworks=[subnet(), subnet("theirs", "10.9.0.0/24", network="other")],
            instances=[vm("a"), vm("z", "theirs")],
            firewalls=[{"network": "vpc", **rule}],
        )
    )
    with built(given) as net:
        assert datagram(net, "z", "a", (net.address(instance("a")), 5000))
        assert not datagram(net, "a", "z", (net.address(instance("z")), 5000), within=QUIET)
        assert net.packets("vpc-vpc", "in") == 1
        assert net.packets("vpc-other", "implied-deny-ingress") == 1
