"""The capacity of connector instances: what comes through is read at the receiver, what a limit drops at its cause.

A rate is that of packets which wait in an instance's queue, by the times at which the kernel received them: it does not
depend on how fast this machine is, nor on when it lets the test read.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import pytest

from testbed.fabric.serverless.region import RETURN
from testbed.kernel import namespace
from testbed.kernel.apply import difference
from testbed.kernel.queueing import dropped
from testbed.model.drop_causes import CONNECTOR_CONNECTIONS, CONNECTOR_NEW_CONNECTIONS, DropCause
from testbed.model.topology import Topology
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask, ip, sh
from tests.unit.topologies import compute, connector, service, topology, vm
from tests.waiting import PATIENCE, QUIET, eventually

pytestmark = pytest.mark.needs("sch_tbf", "sch_htb", "xt_CLASSIFY", "xt_hashlimit", "xt_connlimit")

ALLOW = {"name": "all", "network": "vpc", "allowed": "all"}
INSTANCES = 2
HEADERS = 28
SEGMENT = 103  # UDP_SEGMENT of linux/udp.h
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h
TOLERANCE = 0.03
TO_NETWORK, TO_RUNTIMES = "eth0", RETURN
BURST = 64 << 10


def of(capacity: Any = None, own: Any = None) -> Topology:
    """A testbed's capacity, and one of the connector's own."""
    return topology(
        capacity=capacity,
        compute=compute(instances=[vm("a")], firewalls=[ALLOW]),
        vpcaccess={"connectors": [connector(minInstances=INSTANCES, capacity=own)]},
        run={"services": [service("web")]},
    )


@contextmanager
def network(capacity: Any = None) -> Iterator[Built]:
    with built(of(capacity)) as net:
        yield net


def datagrams(net: Built, space: str) -> socket.socket:
    made = net.socket(space, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return made


@contextmanager
def ends(net: Built, direction: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The sender and the receiver of datagrams that take one instance."""
    target = net.address(instance("a")), 7000
    with datagrams(net, "web") as client, datagrams(net, "a") as server:
        server.bind(target)
        client.connect(target)
        client.send(b"?")
        _, source = server.recvfrom(16)
        server.connect(source)
        server.send(b"!")
        client.recv(16)
        yield (client, server) if direction == TO_NETWORK else (server, client)


def arrivals(into: socket.socket) -> list[float]:
    """When each datagram came, in seconds, until there is silence."""
    found = []
    while select.select([into], [], [], QUIET)[0]:
        _, messages, _, _ = into.recvmsg(1 << 16, 64)
        ((_, _, stamp),) = messages
        seconds, nanoseconds = struct.unpack("qq", stamp)
        found.append(seconds + nanoseconds / 1e9)
    return found


def pace(times: Sequence[float]) -> float:
    """Datagrams per second, as the median over halves: what comes in a heap after a delay does not matter."""
    half = len(times) // 2
    return median(half / (times[i + half] - times[i]) for i in range(half))


def drops(net: Built) -> dict[str, int]:
    """What the instances' queues have dropped, by device."""
    found = [dropped(net.paths[one.name]) for one in net.running.instances]
    return {device: sum(one.get((device, 1), 0) for one in found) for device in (TO_NETWORK, TO_RUNTIMES)}


def refused(net: Built, cause: DropCause) -> int:
    """What the rules of the instances have dropped for a cause."""
    return sum(net.packets(one.name, cause.id) for one in net.running.instances)


@pytest.mark.behaviour("1.4.1")
@pytest.mark.parametrize("direction", [TO_NETWORK, TO_RUNTIMES])
def test_bytes_of_inner_packets_pass_at_the_rate_and_the_rest_is_dropped_there(direction: str) -> None:
    size, sent, rate = 1460, 400, 2_000_000
    other = TO_NETWORK if direction == TO_RUNTIMES else TO_RUNTIMES
    with network({"megabitsPerSecond": 2}) as net, ends(net, direction) as (sender, receiver):
        for _ in range(sent):
            sender.send(bytes(size - HEADERS))
        times = arrivals(receiver)

        assert drops(net) == {direction: sent - len(times), other: 0}
        assert 0 < drops(net)[direction] < sent - BURST // size
        assert pace(times[BURST // size :]) * size * 8 == pytest.approx(rate, rel=TOLERANCE)


@pytest.mark.behaviour("1.4.4")
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("direction", [TO_NETWORK, TO_RUNTIMES])
def test_small_packets_pass_at_the_rate_of_packets(direction: str, *, cut: bool) -> None:
    """Also if the kernel cuts them from one large packet: each counts."""
    size, sent, rate = 100, 300, 200
    with network({"packetsPerSecond": rate}) as net, ends(net, direction) as (sender, receiver):
        if cut:
            sender.setsockopt(socket.IPPROTO_UDP, SEGMENT, size - HEADERS)
        together = 60 if cut else 1
        for _ in range(sent // together):
            sender.send(bytes((size - HEADERS) * together))
        times = arrivals(receiver)

        assert len(times) == sent
        assert pace(times[BURST // 1460 :]) == pytest.approx(rate, rel=TOLERANCE)


@pytest.mark.behaviour("1.4.4")
def test_bytes_and_packets_are_one_budget() -> None:
    """At 2 Mbit/s and 400 packets/s the mean packet has 625 bytes: smaller ones take the tokens of that size."""
    with network({"megabitsPerSecond": 2, "packetsPerSecond": 400}) as net, ends(net, TO_NETWORK) as (sender, receiver):
        for size, rate in ((64, 400), (625, 400), (1250, 200)):
            for _ in range(BURST // size + 300 if size > 600 else BURST // 625 + 300):
                sender.send(bytes(size - HEADERS))
            times = arrivals(receiver)
            assert pace(times[-200:]) == pytest.approx(rate, rel=TOLERANCE), size


@pytest.mark.behaviour("1.4.1")
def test_each_instance_has_a_capacity_of_its_own() -> None:
    size, each = 1460, 300
    with network({"megabitsPerSecond": 2}) as net, ExitStack() as stack:
        receiver = stack.enter_context(datagrams(net, "a"))
        receiver.bind((net.address(instance("a")), 7000))
        by_source: dict[str, socket.socket] = {}
        while len(by_source) < INSTANCES:
            client = stack.enter_context(datagrams(net, "web"))
            client.connect((net.address(instance("a")), 7000))
            client.send(b"?")
            by_source[receiver.recvfrom(16)[1][0]] = client
        for _ in range(each):
            for client in by_source.values():
                client.send(bytes(size - HEADERS))
        times = arrivals(receiver)

        assert pace(times[INSTANCES * (BURST // size) :]) * size * 8 == pytest.approx(4_000_000, rel=TOLERANCE)
        assert drops(net)[TO_NETWORK] == INSTANCES * each - len(times)


def test_health_checks_are_answered_however_much_waits() -> None:
    with network({"megabitsPerSecond": 1}) as net, ends(net, TO_NETWORK) as (sender, receiver):
        for _ in range(200):
            sender.send(bytes(1432))
        for one in net.running.instances:
            with (
                answering(net.paths[one.name], (one.address, 667), one.name),
                namespace.connect(net.paths["google-vpc"], (one.address, 667), PATIENCE) as check,
            ):
                assert ask(check) == one.name
        receiver.settimeout(PATIENCE)
        assert len(arrivals(receiver)) == 200  # which took 2 s


def first_packets(net: Built, count: int) -> int:
    """How many of so many new connections come through, each of one datagram."""
    target = net.address(instance("a")), 7001
    with datagrams(net, "a") as server:
        server.bind(target)
        for port in range(20_000, 20_000 + count):
            with net.socket("web", socket.SOCK_DGRAM) as client:
                client.bind(("", port))
                client.sendto(b"?", target)
        return len(arrivals(server))


@pytest.mark.behaviour("1.4.4")
def test_new_connections_are_limited_and_running_ones_are_not() -> None:
    with network({"newConnectionsPerSecond": 1}) as net, ends(net, TO_NETWORK) as (sender, receiver):
        came, tried = first_packets(net, 200), 200
        assert came < tried
        assert came + refused(net, CONNECTOR_NEW_CONNECTIONS) == tried
        assert refused(net, CONNECTOR_CONNECTIONS) == 0
        for _ in range(50):
            sender.send(b"running")
        assert len(arrivals(receiver)) == 50


@pytest.mark.behaviour("1.4.4")
@pytest.mark.parametrize("limit", [20, 1100])
def test_open_connections_are_limited(limit: int) -> None:
    """Also where the kernel has to keep them in several lists."""
    tried = 3 * INSTANCES * limit
    with network({"connections": limit}) as net:
        assert first_packets(net, tried) == INSTANCES * limit
        assert refused(net, CONNECTOR_CONNECTIONS) == tried - INSTANCES * limit
        assert refused(net, CONNECTOR_NEW_CONNECTIONS) == 0


@pytest.mark.behaviour("1.4.4")
def test_a_connection_that_is_over_makes_room() -> None:
    target = "a", 7000
    with network({"connections": 1}) as net, answering(net.paths["a"], ("", target[1]), target[0]):
        address = net.address(instance("a")), target[1]
        clients = [net.socket("web", socket.SOCK_STREAM) for _ in range(20)]
        for client in clients:
            client.setblocking(False)
            assert client.connect_ex(address) == errno.EINPROGRESS
        eventually(lambda: refused(net, CONNECTOR_CONNECTIONS) >= len(clients) - INSTANCES, "refused connections")
        for client in clients:
            client.close()

        def again() -> bool:
            with net.socket("web", socket.SOCK_STREAM) as client:
                client.settimeout(QUIET)
                try:
                    client.connect(address)
                except TimeoutError:
                    return False
                return ask(client) == "a"

        eventually(again, "a connection after the others are over")


@pytest.mark.behaviour("1.4.1")
def test_what_stays_below_the_limit_loses_nothing() -> None:
    with network() as net, ends(net, TO_NETWORK) as (sender, receiver):
        for _ in range(200):
            sender.send(bytes(1432))
            receiver.send(receiver.recv(1500))
            sender.recv(1500)
        assert drops(net) == {TO_NETWORK: 0, TO_RUNTIMES: 0}


def test_tcp_fills_a_slow_instance_and_all_of_it_arrives() -> None:
    size = 3 << 20
    with network({"megabitsPerSecond": 20}) as net, net.socket("a", socket.SOCK_STREAM) as listener:
        listener.bind((net.address(instance("a")), 7000))
        listener.listen()
        with net.socket("web", socket.SOCK_STREAM) as client:
            client.connect((net.address(instance("a")), 7000))
            server, _ = listener.accept()
            with server:
                client.setblocking(False)
                left, got = size, 0
                while got < size:
                    ready, writable, _ = select.select([server], [client] if left else [], [], PATIENCE)
                    if writable:
                        left -= client.send(bytes(min(left, 1 << 16)))
                    if ready:
                        got += len(server.recv(1 << 16))
        assert got == size


@pytest.mark.behaviour("1.4.1")
def test_another_capacity_takes_the_place_of_the_present_one() -> None:
    with network() as net:
        (one, *_) = net.running.instances
        for capacity, own, buckets, segments in (
            ("off", None, 0, 65535),
            ("burst", None, 2, 1),
            ("burst", "off", 0, 65535),
            ({"megabitsPerSecond": 7}, None, 2, 65535),
            (None, {"connections": 5}, 0, 65535),
            (None, None, 2, 1),
        ):
            net.change(of(capacity, own))
            assert difference(net.plan, net.paths) == []
            assert len(dropped(net.paths[one.name])) == buckets
            assert ip(net.paths["vpc-vpc"], f"link show dev {one.name}")[0]["gso_max_segs"] == segments


def test_burst_has_a_peak() -> None:
    with network("burst") as net:
        (one, *_) = net.running.instances
        assert "rate 100Mbit burst 567627Kb/1 mpu 625b peakrate 255Mbit" in sh(
            net.paths[one.name], f"tc -details qdisc show dev {RETURN}"
        )
