"""What a connector carries and to whom: protocols, IP versions, ranges, and the ports of its own two rules."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from testbed.fabric.allocation.addressing import inner_address
from testbed.kernel import namespace
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask, ip
from tests.unit.topologies import Data, compute, connector, outer, service, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET, patience

ALLOW = {"name": "all", "network": "vpc", "priority": 0, "allowed": "all"}
PROTOCOLS = {"ipip": 4, "gre": 47, "esp": 50, "ah": 51, "sctp": 132}
PAYLOAD = bytes.fromhex("00000800") + bytes(40)


@contextmanager
def network(*services: Data, rules: list[Data] | None = None, cidr: str = "10.128.0.0/20") -> Iterator[Built]:
    given = topology(
        compute=compute(subnetworks=[subnet("us", cidr)], instances=[vm("a")], firewalls=rules or [ALLOW]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [*services]},
    )
    with built(given) as net:
        yield net


def source(net: Built, sender: str, protocol: int) -> str | None:
    """Under which address a packet of a protocol, which should not, arrives at the VM; None if it does not."""
    with net.socket(sender, socket.SOCK_RAW, protocol) as out, net.socket("a", socket.SOCK_RAW, protocol) as into:
        out.sendto(PAYLOAD, (net.address(instance("a")), 0))
        into.settimeout(QUIET)
        with suppress(TimeoutError):
            _, (address, _) = into.recvfrom(2048)
            return str(address)
    return None


def reaches(net: Built, sender: str, *, within: float = PATIENCE) -> bool:
    address = net.address(instance("a"))
    with answering(net.paths["a"], ("", 80), "a"), net.socket(sender, socket.SOCK_STREAM) as client:
        client.settimeout(within)
        with suppress(OSError):
            client.connect((address, 80))
            return ask(client) == "a"
    return False


@pytest.mark.behaviour("3.7.2", "2.5.4")
@pytest.mark.parametrize("egress", ["PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"])
def test_other_protocols_do_not_pass_a_connector_whatever_the_rules_say(egress: str) -> None:
    with network(service("web", egress=egress)) as net:
        assert reaches(net, "web")
        assert {name for name, number in PROTOCOLS.items() if source(net, "web", number)} == set()


@pytest.mark.behaviour("2.5.4")
@pytest.mark.parametrize("protocol", ["ah", "all", "esp", "icmp", "ipip", "sctp", "tcp"])
def test_a_rule_against_a_connector_may_name_any_protocol(protocol: str) -> None:
    """Of which only those that it carries make a difference."""
    deny = {"name": "no", "network": "vpc", "denied": protocol, "sourceTags": ["vpc-connector"], "priority": 999}
    with network(service("web"), rules=[deny]) as net:
        passes = protocol not in {"all", "tcp"}
        assert reaches(net, "web", within=patience(passes)) == passes


@pytest.mark.behaviour("2.6.5")
def test_nothing_of_a_connector_has_ipv6() -> None:
    with network(service("web")) as net:
        (one, *_) = net.running.instances
        for name in ("web", one.name, "a"):
            with namespace.socket_in(net.paths[name], socket.AF_INET6, socket.SOCK_STREAM) as client:
                assert client.connect_ex(("2600:1901::1", 80)) in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}


@pytest.mark.behaviour("3.2.3")
def test_public_addresses_used_privately_are_reached_with_all_traffic_only() -> None:
    services = [service("private"), service("everything", egress="ALL_TRAFFIC")]
    with network(*services, cidr="44.10.0.0/24") as net:
        assert net.address(instance("a")).startswith("44.10.0.")
        assert not reaches(net, "private", within=QUIET)
        assert reaches(net, "everything")


@pytest.mark.behaviour("2.2.3", "2.2.2")
def test_the_two_egress_rules_of_one_priority_never_meet() -> None:
    """An instance sends to a tunnel's ports at the runtimes and to no others: each packet meets one rule."""
    with network(service("web")) as net:
        (one, *_) = net.running.instances
        ends = next(a for space in net.plan.namespaces for a in space.loopback if a.startswith("35.199.22"))
        with net.socket(one.name, socket.SOCK_DGRAM) as client:
            for port in (664, 666, 667, 1000):
                client.sendto(b"?", (ends.removesuffix("/32"), port))
        assert net.packets("vpc-vpc", "aet-uscentral1-c1-earfw") == 1
        assert net.packets("vpc-vpc", "aet-uscentral1-c1-egrfw") == 3


def packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet; the kernel writes the checksum of what a raw socket sends."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(destination)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + payload


def datagram(source: tuple[str, int], destination: tuple[str, int], payload: bytes) -> bytes:
    """A packet of UDP without a checksum."""
    head = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0)
    return packet(source[0], destination[0], socket.IPPROTO_UDP, head + payload)


def wrapped(net: Built, inner: bytes) -> bytes:
    """What a tunnel of the connector carries: VXLAN-GPE with an IPv4 packet."""
    identifier = next(hop.encap_id for space in net.plan.namespaces for hop in space.nexthops)
    return bytes.fromhex("0c000001") + (identifier << 8).to_bytes(4) + inner


def came_out(net: Built, space: str, device: str) -> int:
    """Packets that a tunnel has brought."""
    (link,) = ip(net.paths[space], f"-statistics link show dev {device}")
    return int(link["stats64"]["rx"]["packets"])


@pytest.mark.behaviour("2.1.4", "2.1.6", "2.1.8")
def test_an_instance_that_forwards_cannot_speak_for_google_or_a_connector() -> None:
    """It may send under any address (`canIpForward`), but for Google's; and no other speaks the tunnel back."""
    given = topology(
        compute=compute(instances=[vm("a"), vm("fw", canIpForward=True)], firewalls=[ALLOW]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web")]},
    )
    with built(given) as net:
        (one, *_), a = net.running.instances, net.address(instance("a"))
        outside = outer(given, net.running, "web")
        inside, region = inner_address(outside), "serverless-us-central1"
        with (
            net.socket("fw", socket.SOCK_RAW, socket.IPPROTO_RAW) as forger,
            net.socket("a", socket.SOCK_DGRAM) as receiver,
            net.socket("web", socket.SOCK_DGRAM) as service_,
        ):
            receiver.bind(("", 5000))
            request = wrapped(net, datagram((inside, 4000), (a, 5000), b"forged"))
            answer = wrapped(net, datagram((a, 5000), (inside, 4000), b"forged"))
            forger.sendto(datagram((outside, 665), (one.address, 665), request), (one.address, 0))
            forger.sendto(datagram((one.address, 666), (outside, 666), answer), (outside, 0))
            for source in ("35.191.0.2", "130.211.0.1", "35.235.240.1", "35.199.192.1"):
                forger.sendto(datagram((source, 4000), (a, 5000), b"forged"), (a, 0))
            assert came_out(net, one.name, "tun0") == came_out(net, region, "tun1") == 0
            forger.sendto(datagram(("10.99.0.1", 4000), (a, 5000), b"of another"), (a, 0))
            assert receiver.recvfrom(64) == (b"of another", ("10.99.0.1", 4000))  # and nothing before
            service_.sendto(b"true", (a, 5000))
            assert receiver.recvfrom(64)[0] == b"true"
        assert net.packets("vpc-vpc", "anti-spoofing") == 6
