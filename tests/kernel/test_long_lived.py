"""Connections that live: loss, silence, changes and new instances neither move them nor break them.

A service's connections go through a connector to a VM, which tells each the address that it comes from.  So an answer
says which instance the connection takes now, and a connection that was moved is one that is broken.
"""

from __future__ import annotations

import resource
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from testbed.fabric.allocation.running import Health
from testbed.fabric.compiler import compile_topology, connector_addresses
from testbed.fabric.vpc import flow_counters
from testbed.kernel import firewall
from testbed.kernel.apply import difference
from testbed.model.topology import Topology
from tests import proof
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import sh
from tests.sample import TIMES, size
from tests.tally import TALLY
from tests.unit.topologies import Data, compute, connector, service, small, vm
from tests.waiting import PATIENCE, QUIET, eventually

REGION = "serverless-us-central1"
PORT = 80
FIRST_PORT = 20000
"""Of the clients: always the same, so that the same hashes are tried each time."""
RETRANSMISSIONS = 3
IDLE = size(3, 90)
"""Seconds of silence."""
ALLOW: Data = {"name": "all", "network": "vpc", "priority": 0, "allowed": "all"}


def topology(*rules: Data, egress: str = "PRIVATE_RANGES_ONLY") -> Topology:
    return small(
        compute=compute(instances=[vm("a")], firewalls=[*rules] or [ALLOW]),
        vpcaccess={"connectors": [connector(minInstances=3)]},
        run={"services": [service("web", egress=egress)]},
    )


class Echo:
    """A server that answers each request with the address that it came from; one thread for all connections."""

    def __init__(self, net: Built) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = net.socket("a", socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("", PORT))
        self._listener.listen(2000)
        self._datagrams = net.socket("a", socket.SOCK_DGRAM)
        self._datagrams.bind(("", PORT))
        self._ends = socket.socketpair()
        for one in (self._listener, self._datagrams, self._ends[0]):
            self._selector.register(one, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is self._ends[0]:
                    return
                with suppress(OSError):  # reset
                    self._answer(key.fileobj)

    def _answer(self, one: socket.socket) -> None:
        if one is self._listener:
            connection, _ = one.accept()
            self._selector.register(connection, selectors.EVENT_READ)
        elif one is self._datagrams:
            _, sender = one.recvfrom(64)
            one.sendto(sender[0].encode(), sender)
        elif one.recv(64):
            one.sendall(one.getpeername()[0].encode())
        else:
            self._selector.unregister(one)
            one.close()

    def close(self) -> None:
        self._ends[1].send(b".")
        self._thread.join()
        for key in [*self._selector.get_map().values()]:
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._ends[1].close()
        self._selector.close()


@dataclass(slots=True)
class Bed:
    """A service, a connector of three instances, and a VM."""

    net: Built
    stack: ExitStack
    topology: Topology
    ports: Iterator[int] = field(default_factory=lambda: iter(range(FIRST_PORT, 40000)))

    def open(self, count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[socket.socket]:
        """New connections of the service."""
        return [self.connect(next(self.ports), kind) for _ in range(count)]

    def connect(self, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        flow = self.stack.enter_context(self.net.socket("web", kind))
        flow.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        flow.bind(("", port))
        flow.connect((self.net.address(instance("a")), PORT))
        return flow

    def health(self, *health: Health) -> None:
        """Make the instances healthy or not."""
        pairs = zip(self.net.running.instances, health, strict=True)
        self.net.running = replace(self.net.running, instances=tuple(replace(i, health=h) for i, h in pairs))
        self.net.change(self.topology)

    @contextmanager
    def loss(self) -> Iterator[None]:
        """The VM gets nothing in here."""
        rule = "INPUT -p tcp -m tcp -j DROP"
        sh(self.net.paths["a"], f"iptables -w -I {rule}")
        try:
            yield
        finally:
            sh(self.net.paths["a"], f"iptables -w -D {rule}")


@contextmanager
def bed(given: Topology, *health: Health) -> Iterator[Bed]:
    with built(given) as net, ExitStack() as stack:
        made = Bed(net, stack, given)
        made.health(*health)
        stack.callback(Echo(net).close)
        yield made


@pytest.fixture
def two() -> Iterator[Bed]:
    """The third instance is not healthy yet."""
    with bed(topology(), "healthy", "healthy", "starting") as made:
        yield made


def ask(flow: socket.socket) -> str:
    """The address that the VM sees, or what became of the connection."""
    try:
        flow.sendall(b"?")
        return flow.recv(64).decode()
    except ConnectionResetError:
        return "reset"


def asked(flows: Sequence[socket.socket]) -> list[str]:
    return [ask(flow) for flow in flows]


def stay(flows: Sequence[socket.socket], before: list[str]) -> None:
    """See that each connection lives, and takes the instance that it took."""
    after = asked(flows)
    TALLY.update({proof.CONNECTIONS: len(flows), proof.RESETS: after.count("reset")})
    assert after == before


def retransmissions(flow: socket.socket) -> int:
    """How often TCP has sent what it waits for, without an answer (`tcpi_retransmits` of `struct tcp_info`)."""
    return int(struct.unpack_from("B", flow.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8), 2)[0])


@pytest.mark.behaviour("2.1.2")
def test_flows_are_spread_over_the_instances_and_stay(two: Bed) -> None:
    flows = two.open(24)
    before = asked(flows)
    assert set(before) == {"10.8.0.2", "10.8.0.3"}
    stay(flows, before)
    assert difference(two.net.plan, two.net.paths) == []


@pytest.mark.behaviour("2.1.2")
@pytest.mark.parametrize("egress", ["PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"])
def test_lost_packets_do_not_move_a_flow(egress: str) -> None:
    """A socket of Linux changes its hash each time that a retransmission times out."""
    with bed(topology(egress=egress), "healthy", "healthy", "healthy") as made:
        flows = made.open(24)
        before = asked(flows)
        with made.loss():
            for flow in flows:
                flow.sendall(b"?")
            eventually(lambda: min(map(retransmissions, flows)) >= RETRANSMISSIONS, "time-outs of all flows")
        assert [flow.recv(64).decode() for flow in flows] == before
        stay(flows, before)


@pytest.mark.behaviour("2.1.2")
def test_a_lost_first_packet_is_sent_again_by_the_same_instance(two: Bed) -> None:
    """Each instance that gets one counts a flow of its own otherwise."""
    with two.loss():
        flow = two.stack.enter_context(two.net.socket("web", socket.SOCK_STREAM))
        flow.setblocking(False)
        flow.connect_ex((two.net.address(instance("a")), PORT))
        eventually(lambda: retransmissions(flow) >= RETRANSMISSIONS, "the SYN is sent again")
    counted = firewall.members(two.net.paths["vpc-vpc"], flow_counters(connector_addresses("10.8.0.0/28")))
    assert sorted(hits.packets for hits in counted.values() if hits.packets) == [1]


@pytest.mark.behaviour("2.1.2")
def test_packets_out_of_order_do_not_move_a_flow(two: Bed) -> None:
    """Every second packet waits in the VM's queue for the next ones: TCP sends again what is not lost."""
    flows = two.open(12)
    before = asked(flows)
    rule = "INPUT -p tcp -m statistic --mode nth --every 2 --packet 0 -j DROP"
    sh(two.net.paths["a"], f"iptables -w -I {rule}")
    for flow in flows:
        for _ in range(8):
            flow.sendall(b"?")
    assert [flow.recv(9).decode()[:8] for flow in flows] == before
    sh(two.net.paths["a"], f"iptables -w -D {rule}")
    for flow in flows:
        flow.settimeout(QUIET)
        with suppress(TimeoutError):
            while flow.recv(64):
                pass
        flow.settimeout(PATIENCE)
    # An answer that is late still may come with the next one: TCP has no messages.
    assert [answer[: len(seen)] for answer, seen in zip(asked(flows), before, strict=True)] == before


@pytest.mark.sampled
@pytest.mark.behaviour("2.1.2")
@pytest.mark.timeout(900 * max(1, TIMES))
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_neither_silence_nor_a_new_instance_moves_a_flow(two: Bed, kind: socket.SocketKind) -> None:
    """A sample of the silence is short, and what would forget a flow while it is silent forgets it sooner."""
    if not TIMES:
        for space in (REGION, two.net.running.instances[0].name, two.net.running.instances[1].name):
            for name in ("udp_timeout", "udp_timeout_stream", "tcp_timeout_established"):
                before = int(sh(two.net.paths[space], f"sysctl -n net.netfilter.nf_conntrack_{name}"))
                sh(two.net.paths[space], f"sysctl -qw net.netfilter.nf_conntrack_{name}={before * IDLE // 90}")
    flows = two.open(12, kind)
    seen = asked(flows)
    two.health("healthy", "healthy", "healthy")
    time.sleep(IDLE)  # silence is what is tried
    stay(flows, seen)


@pytest.mark.behaviour("2.1.2")
@pytest.mark.timeout(600)
def test_a_new_instance_takes_its_share_of_new_flows_at_once(two: Bed) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), max(hard, 4096)))
    live = two.open(900)
    before = asked(live)
    two.health("healthy", "healthy", "healthy")
    stay(live, before)
    shares = Counter(asked(two.open(300)))
    assert set(shares) == {"10.8.0.2", "10.8.0.3", "10.8.0.4"}
    assert 0.25 <= shares["10.8.0.4"] / 300 <= 0.4
    stay(live, before)


@pytest.mark.behaviour("2.1.2", "2.6.3")
def test_flows_of_an_instance_that_fails_end_and_no_others(two: Bed) -> None:
    flows = two.open(24)
    before = asked(flows)
    ports = [flow.getsockname()[1] for flow in flows]
    two.health("unhealthy", "healthy", "starting")
    assert asked(flows) == ["reset" if source == "10.8.0.2" else source for source in before]
    lost = [port for port, source in zip(ports, before, strict=True) if source == "10.8.0.2"]
    for flow, source in zip(flows, before, strict=True):
        if source == "10.8.0.2":
            flow.close()
    again = [two.connect(port) for port in lost]  # the same 5-tuples
    assert asked(again) == ["10.8.0.3"] * len(lost)


@pytest.mark.behaviour("2.1.2", "2.6.3")
def test_datagrams_of_an_instance_that_fails_go_elsewhere_and_stay_there(two: Bed) -> None:
    flows = two.open(24, socket.SOCK_DGRAM)
    assert "10.8.0.2" in asked(flows)
    two.health("unhealthy", "healthy", "starting")
    assert set(asked(flows)) == {"10.8.0.3"}
    two.health("healthy", "healthy", "healthy")
    stay(flows, ["10.8.0.3"] * len(flows))


@pytest.mark.behaviour("2.1.2", "4.1.9")
def test_a_change_of_rules_neither_moves_nor_ends_a_flow(two: Bed) -> None:
    flows = two.open(24)
    before = asked(flows)
    deny: Data = {"name": "no", "network": "vpc", "priority": 0, "denied": "tcp", "sourceTags": ["vpc-connector"]}
    two.topology = topology(deny)
    two.net.change(two.topology)
    stay(flows, before)


def test_the_plan_of_every_health_is_true_at_once(two: Bed) -> None:
    """The choice is all that changes with the health of an instance, and a second look finds nothing to do."""
    for health in (("unhealthy", "healthy", "healthy"), ("unhealthy",) * 3, ("healthy",) * 3):
        two.health(*health)
        assert difference(compile_topology(two.topology, two.net.running), two.net.paths) == []
