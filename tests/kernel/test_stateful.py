"""The firewall knows connections: answers, ICMP errors and fragments of what was allowed pass, also after a change."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from testbed.fabric.firewall.connection_tracking import IDLE
from testbed.kernel import namespace
from testbed.model.topology import Topology
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask, sh
from tests.sample import size
from tests.unit.topologies import Data, compute, network, topology, vm
from tests.waiting import PATIENCE, QUIET, eventually, patience

HOST = "203.0.113.10"
NOTHING_OUT = {"name": "out", "network": "vpc", "direction": "EGRESS", "priority": 0, "denied": "all"}
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
"""linux/in.h"""
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h"""
KNOWN = Path("/proc/self/net/nf_conntrack")


def allow(spec: str, name: str = "in", **more: Any) -> Data:
    return {"name": name, "network": "vpc", "allowed": spec, **more}


def machines(*rules: Data) -> Topology:
    return topology(
        compute=compute(instances=[vm("a"), vm("b", tags={"items": ["server"]})], firewalls=list(rules)),
        internet={"hosts": [{"name": "host", "address": HOST}]},
    )


@dataclass(slots=True)
class Pair:
    """UDP sockets in two VMs."""

    net: Built
    port: int = 5000
    a: socket.socket = field(init=False)
    b: socket.socket = field(init=False)

    def __enter__(self) -> Self:
        self.a, self.b = self.net.socket("a", socket.SOCK_DGRAM), self.net.socket("b", socket.SOCK_DGRAM)
        self.b.bind(("", self.port))
        self.a.connect((self.net.address(instance("b")), self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self.a.close()
        self.b.close()

    def sent(self, data: bytes = b"?", *, within: float = PATIENCE) -> bool:
        """Whether what a sends comes to b."""
        self.a.send(data)
        return bool(select.select([self.b], [], [], within)[0]) and self.b.recv(65535) == data

    def answered(self, *, within: float = PATIENCE) -> bool:
        """Whether what b answers comes to a."""
        self.b.sendto(b"!", self.a.getsockname())
        return bool(select.select([self.a], [], [], within)[0]) and self.a.recv(64) == b"!"


@pytest.mark.behaviour("4.1.9", "2.6.1")
def test_answers_pass_what_would_not_pass_by_itself() -> None:
    with built(machines(allow("udp"), {**NOTHING_OUT, "targetTags": ["server"]})) as net, Pair(net) as pair:
        assert not pair.answered(within=QUIET)  # nothing was asked yet
        assert pair.sent()
        assert pair.answered()
        assert net.packets("vpc-vpc", "in") == 1
        assert net.packets("vpc-vpc", "out") == 1


@pytest.mark.behaviour("4.1.9")
def test_only_the_reversed_five_tuple_is_an_answer() -> None:
    with built(machines(allow("udp:5000"), {**NOTHING_OUT, "targetTags": ["server"]})) as net, Pair(net) as pair:
        assert pair.sent()
        with net.socket("b", socket.SOCK_DGRAM) as other:
            other.bind(("", 5001))
            other.sendto(b"!", pair.a.getsockname())
            assert not select.select([pair.a], [], [], QUIET)[0]


listed = pytest.mark.skipif(not KNOWN.exists(), reason="this kernel does not list connections in /proc")


def conntrack(net: Built, protocol: str) -> Iterator[int]:
    """The seconds after which each connection of a network is forgotten, if no packet comes."""
    for line in sh(net.paths["vpc-vpc"], f"cat {KNOWN}").splitlines():
        words = line.split()
        if words[2] == protocol:
            yield int(words[4])


@listed
@pytest.mark.behaviour("4.1.9")
def test_a_connection_is_known_for_ten_idle_minutes() -> None:
    with built(machines(allow("all"))) as net, Pair(net) as pair:
        assert pair.sent()
        assert pair.answered()
        server = (net.address(instance("b")), 80)
        with (
            answering(net.paths["b"], server, "b"),
            net.socket("a", socket.SOCK_STREAM) as client,
            net.socket("a", socket.SOCK_RAW, 50) as esp,
        ):
            client.connect(server)
            assert ask(client) == "b"
            esp.sendto(struct.pack("!II", 9, 1), (server[0], 0))
            eventually(lambda: bool([*conntrack(net, "unknown")]), "ESP is known")
            for protocol in ("tcp", "udp", "unknown"):
                [left] = conntrack(net, protocol)
                assert IDLE - 60 < left <= IDLE, protocol


@listed
@pytest.mark.behaviour("4.1.9")
def test_a_connection_that_was_idle_for_too_long_is_unknown() -> None:
    with built(machines(allow("udp"), {**NOTHING_OUT, "targetTags": ["server"]})) as net, Pair(net) as pair:
        for state in ("udp_timeout", "udp_timeout_stream"):  # a second instead of ten minutes
            sh(net.paths["vpc-vpc"], f"sysctl -q net.netfilter.nf_conntrack_{state}=1")
        assert pair.sent()
        assert pair.answered()
        eventually(lambda: not [*conntrack(net, "udp")], "the connection is forgotten")
        assert not pair.answered(within=QUIET)
        assert net.packets("vpc-vpc", "out") == 1


@pytest.mark.behaviour("4.1.9")
def test_icmp_errors_that_answer_a_flow_pass() -> None:
    with built(machines(allow("udp"), {**NOTHING_OUT, "targetTags": ["server"]})) as net:
        with net.socket("a", socket.SOCK_DGRAM) as client:
            client.connect((net.address(instance("b")), 9))  # nobody listens
            client.send(b"?")
            with pytest.raises(ConnectionRefusedError):
                client.recv(64)
        assert net.packets("vpc-vpc", "out") == 0


@pytest.mark.behaviour("4.1.9", "4.7.3")
def test_a_packet_that_is_too_large_to_go_on_gets_its_icmp_error() -> None:
    given = topology(
        compute=compute(
            networks=[{**network(), "mtu": 8896}],
            instances=[{"name": "a", "networkInterfaces": [{"subnetwork": "us", "accessConfigs": [{}]}]}],
            firewalls=[{"name": "in", "network": "vpc", "priority": 0, "denied": "all"}],
        ),
        internet={"hosts": [{"name": "host", "address": HOST}]},
    )
    with (
        built(given) as net,
        net.socket("host", socket.SOCK_DGRAM) as host,
        net.socket("a", socket.SOCK_DGRAM) as client,
    ):
        host.bind(("", 5000))
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        client.connect((HOST, 5000))
        with suppress(OSError):  # the error may have come before `send` returns
            client.send(bytes(3000))
        eventually(lambda: client.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1500, "the path's MTU is known")
        client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        client.send(bytes(1400))
        assert len(host.recv(65535)) == 1400


@pytest.mark.behaviour("4.1.17")
def test_fragments_of_a_datagram_have_its_fate() -> None:
    large = bytes(range(256)) * 20  # four packets: only the first has ports
    with built(machines(allow("udp:5000"))) as net:
        with Pair(net) as pair:
            assert pair.sent(large)
            assert net.packets("vpc-vpc", "in") == 1
        with Pair(net, 5001) as pair:
            assert not pair.sent(large, within=QUIET)


def fragments(source: str, destination: str, segment: bytes) -> Iterator[bytes]:
    """A TCP segment in IP packets of 24 bytes each: the header of TCP is in the first."""
    parts = [segment[i : i + 24] for i in range(0, len(segment), 24)]
    for index, part in enumerate(parts):
        offset = index * 3 | (0x2000 if index < len(parts) - 1 else 0)
        ends = socket.inet_aton(source) + socket.inet_aton(destination)
        yield struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), 7, offset, 64, 6, 0) + ends + part


def syn(source: str, destination: str, port: int, data: bytes) -> bytes:
    """A SYN that carries data, with the checksum of RFC 9293."""
    head = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 0x50, 2, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", 6, len(head + data))
    words = struct.unpack(f"!{len(pseudo + head + data) // 2}H", pseudo + head + data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:16] + struct.pack("!H", ~total & 0xFFFF) + head[18:] + data


@pytest.mark.behaviour("4.1.17")
@pytest.mark.parametrize(("port", "passes"), [(80, True), (81, False)])
def test_fragments_of_a_tcp_segment_have_its_fate(port: int, *, passes: bool) -> None:
    """Google's firewall looks at each; that the rest shares the fate of the first is our choice."""
    with built(machines(allow("tcp:80"))) as net:
        a, b = net.address(instance("a")), net.address(instance("b"))
        with net.socket("a", socket.SOCK_RAW, socket.IPPROTO_RAW) as out, net.socket("b", socket.SOCK_RAW, 6) as into:
            for packet in fragments(a, b, syn(a, b, port, bytes(60))):
                out.sendto(packet, (b, 0))
            assert bool(select.select([into], [], [], patience(passes))[0]) == passes
        assert net.packets("vpc-vpc", "in") == passes


@pytest.mark.behaviour("4.1.9")
@pytest.mark.parametrize("new", [(), ({**NOTHING_OUT, "name": "no"}, allow("all", "later", priority=1))])
def test_a_connection_survives_the_rule_that_allowed_it(new: tuple[Data, ...]) -> None:
    """Google says that a connection is tracked while packets pass; that a change does not end it is our choice."""
    with built(machines(allow("tcp:80"))) as net:
        server = (net.address(instance("b")), 80)
        with answering(net.paths["b"], server, "b"), net.socket("a", socket.SOCK_STREAM) as client:
            client.connect(server)
            assert ask(client) == "b"
            net.change(machines(*new))
            assert ask(client) == "b"
            with net.socket("a", socket.SOCK_STREAM) as another:
                another.settimeout(QUIET)
                with pytest.raises(TimeoutError):
                    another.connect(server)


SWAPS = size(10, 50)
X, Y, NEVER = 6001, 6002, 6003


def senders(net: Built, ports: tuple[int, ...], stop: threading.Event, sent: dict[int, int]) -> threading.Thread:
    """New connections to each port in turn, each from a socket of its own, until told to stop."""
    address = net.address(instance("b"))

    def work() -> None:
        while not stop.is_set():
            for port in ports:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(b"?", (address, port))
                    sent[port] += 1

    thread = threading.Thread(target=lambda: namespace.inside(net.paths["a"], work))
    thread.start()
    return thread


def received(sockets: dict[int, socket.socket]) -> Callable[[], dict[int, int]]:
    """Counts what comes in; what has come in so far is what it returns."""
    counts = dict.fromkeys(sockets, 0)

    def take() -> dict[int, int]:
        while ready := select.select([*sockets.values()], [], [], 0)[0]:
            for port, one in sockets.items():
                if one in ready:
                    one.recv(64)
                    counts[port] += 1
        return counts

    return take


@pytest.mark.sampled
@pytest.mark.behaviour("4.1.5")
def test_no_packet_passes_while_rules_change_that_neither_old_nor_new_allow() -> None:
    """Both sets deny port NEVER, each by another rule, and allow one port of their own."""
    one = machines(allow(f"udp:{X}", "x"), {"name": "n1", "network": "vpc", "priority": 5, "denied": f"udp:{NEVER}"})
    two = machines(
        allow("udp", "y", sourceRanges=["10.128.0.0/20"], priority=20),
        {"name": "n2", "network": "vpc", "priority": 10, "denied": f"udp:{X},udp:{NEVER}"},
    )
    with built(one) as net:
        sockets = {port: net.socket("b", socket.SOCK_DGRAM) for port in (X, Y, NEVER)}
        for port, each in sockets.items():
            each.bind(("", port))
        take, stop, sent = received(sockets), threading.Event(), dict.fromkeys(sockets, 0)
        thread = senders(net, tuple(sockets), stop, sent)
        try:
            for _ in range(SWAPS):
                for topology_, port in ((two, Y), (one, X)):
                    net.change(topology_)
                    before = take()[port]
                    eventually(lambda: take()[port] > before, "the new rules are in force")  # noqa: B023
        finally:
            stop.set()
            thread.join()
            arrived = take()
            for each in sockets.values():
                each.close()
        assert arrived[NEVER] == 0
        assert sent[NEVER] > SWAPS


@pytest.mark.sampled
@pytest.mark.behaviour("4.1.5")
def test_what_both_rule_sets_allow_always_passes() -> None:
    one = machines(allow(f"udp:{X}", "x"))
    two = machines(allow("udp", "y", sourceRanges=["10.128.0.0/20"]))
    with built(one) as net, net.socket("b", socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        server.bind(("", X))
        take, stop, sent = received({X: server}), threading.Event(), {X: 0}
        thread = senders(net, (X,), stop, sent)
        try:
            for _ in range(SWAPS // 2):
                for topology_ in (two, one):
                    net.change(topology_)
                    take()
        finally:
            stop.set()
            thread.join()
        assert take()[X] == sent[X] > SWAPS
