"""Cloud NAT with real packets: what a NIC's block of ports lets out, what it does not, and where that is counted."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count, islice
from typing import Any

import pytest

from testbed.fabric.allocation.cloud_nat import gateways
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Plan
from testbed.kernel import firewall, namespace
from testbed.kernel.apply import apply
from testbed.kernel.conntrack import not_inserted
from testbed.oracle.verdict import Protocol
from tests.kernel.spaces import Paths, sh, spaces
from tests.unit.topologies import compute, plan, running, topology, vm
from tests.waiting import eventually

HOSTS = {"one": "203.0.113.10", "two": "203.0.113.11"}
PORT = 5000
BLOCK = 64
IDENTIFIERS = count(40000)


def gateway_topology(*machines: str, **nat: Any) -> Any:
    router = {"name": "r", "network": "vpc", "nats": [{"name": "nat", **nat}]}
    hosts = [{"name": name, "address": address} for name, address in HOSTS.items()]
    resources = compute(
        instances=[vm(m) for m in machines],
        addresses=[{"name": "ip"}] if "natIps" in nat else [],
        routers=[router],
    )
    return topology(compute=resources, internet={"hosts": hosts})


@contextmanager
def made(of: Any) -> Iterator[tuple[Plan, Paths]]:
    planned = plan(of)
    with spaces(*(space.name for space in planned.namespaces)) as paths:
        apply(planned, paths)
        yield planned, paths


class Receivers:
    """Sockets on the internet hosts, and whom each has seen: (address, port or ICMP identifier)."""

    def __init__(self, paths: Paths, protocol: Protocol, stack: ExitStack) -> None:
        self._protocol = protocol
        self._sockets = {name: stack.enter_context(self._open(paths[name])) for name in HOSTS}
        self._seen: dict[str, set[tuple[str, int]]] = {name: set() for name in HOSTS}
        self._stack = stack

    def _open(self, path: str) -> socket.socket:
        if self._protocol == "icmp":
            made = namespace.inside(path, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        else:
            kind = socket.SOCK_STREAM if self._protocol == "tcp" else socket.SOCK_DGRAM
            made = namespace.socket_in(path, socket.AF_INET, kind)
            made.bind(("", PORT))
            if kind is socket.SOCK_STREAM:
                made.listen(256)
        made.setblocking(False)
        return made

    def seen(self, host: str) -> set[tuple[str, int]]:
        found = self._seen[host]
        try:
            while True:
                found.add(self._one(self._sockets[host]))
        except BlockingIOError:
            return found

    def _one(self, receiver: socket.socket) -> tuple[str, int]:
        if self._protocol == "tcp":
            connection, (address, port) = receiver.accept()
            self._stack.enter_context(connection)
            return address, port
        data, (address, port) = receiver.recvfrom(2048)
        return (address, struct.unpack("!H", data[24:26])[0]) if self._protocol == "icmp" else (address, port)


def send(protocol: Protocol, destination: str, number: int, stack: ExitStack) -> None:
    """Begins so many connections to one destination; called in the sender's namespace."""
    if protocol == "icmp":
        raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        for identifier in islice(IDENTIFIERS, number):
            head = struct.pack("!BBHHH", 8, 0, 0, identifier, 1)
            total = 0x0800 + identifier + 1
            checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            raw.sendto(head[:2] + struct.pack("!H", checksum) + head[4:], (destination, 0))
        return
    for _ in range(number):
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        client = stack.enter_context(socket.socket(socket.AF_INET, kind))
        client.setblocking(False)
        client.connect_ex((destination, PORT))
        if protocol == "udp":
            client.send(b"?")


@pytest.mark.behaviour("4.13.2", "4.13.3", "4.13.6")
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_a_vm_has_64_ports_per_destination_and_the_65th_connection_is_dropped(protocol: Protocol) -> None:
    of = gateway_topology("a", "b")
    (gateway,) = gateways(of, of.compute.routers[0], running(of).allocations.addresses)
    blocks = gateway.blocks(["10.128.0.2", "10.128.0.3"])
    with made(of) as (_, paths), ExitStack() as stack:
        receivers = Receivers(paths, protocol, stack)

        def connect(machine: str, host: str, number: int) -> None:
            namespace.inside(paths[machine], partial(send, protocol, HOSTS[host], number, stack))

        connect("a", "one", BLOCK)
        eventually(lambda: len(receivers.seen("one")) == BLOCK, "the whole block is used")
        assert not_inserted(paths["nat-nat"]) == 0
        connect("a", "one", 1)
        eventually(lambda: not_inserted(paths["nat-nat"]) > 0, "the connection without a port is counted")
        connect("a", "two", BLOCK)  # the same ports again
        connect("b", "one", 1)  # with ports of its own
        eventually(
            lambda: len(receivers.seen("two")) == BLOCK and len(receivers.seen("one")) == BLOCK + 1, "others go on"
        )
        mine = {(blocks["10.128.0.2"].external, port) for port in range(*_bounds(blocks["10.128.0.2"]))}
        assert receivers.seen("two") == mine
        (other,) = receivers.seen("one") - mine
        assert other[1] in range(*_bounds(blocks["10.128.0.3"]))


def _bounds(block: Any) -> tuple[int, int]:
    return block.first, block.last + 1


@pytest.mark.behaviour("4.13.2")
def test_with_dynamic_allocation_a_vm_grows_from_32_ports() -> None:
    of = gateway_topology("a", enableDynamicPortAllocation=True, maxPortsPerVm=128)
    with made(of) as (_, paths), ExitStack() as stack:
        receivers = Receivers(paths, "udp", stack)
        namespace.inside(paths["a"], partial(send, "udp", HOSTS["one"], 128, stack))
        eventually(lambda: len(receivers.seen("one")) == 128, "four times the least number of ports")
        namespace.inside(paths["a"], partial(send, "udp", HOSTS["one"], 1, stack))
        eventually(lambda: not_inserted(paths["nat-nat"]) > 0, "and no more")


@pytest.mark.behaviour("4.13.3", "4.13.6")
def test_a_vm_for_which_no_ports_are_left_is_refused_by_name() -> None:
    of = gateway_topology("a", "b", natIpAllocateOption="MANUAL_ONLY", natIps=["ip"], minPortsPerVm=32768)
    with made(of) as (_, paths), ExitStack() as stack:
        receivers = Receivers(paths, "udp", stack)
        for machine in ("b", "a"):
            namespace.inside(paths[machine], partial(send, "udp", HOSTS["one"], 1, stack))
        dropped = partial(_counted, paths["nat-nat"], "out-of-resources-nat")
        eventually(lambda: len(receivers.seen("one")) == 1, "the first VM has ports")
        assert dropped() == 1


def _counted(path: str, comment: str) -> int:
    return sum(rule.packets for rule in firewall.counters(path) if rule.comment == comment)


@pytest.mark.behaviour("4.13.4")
def test_idle_connections_are_forgotten_after_the_gateways_time() -> None:
    of = gateway_topology("a", udpIdleTimeoutSec=1)
    with made(of) as (_, paths), ExitStack() as stack:
        receivers = Receivers(paths, "udp", stack)
        connect: Callable[[], None] = partial(
            namespace.inside, paths["a"], partial(send, "udp", HOSTS["one"], BLOCK, stack)
        )
        connect()
        eventually(lambda: len(receivers.seen("one")) == BLOCK, "the whole block is used")
        eventually(lambda: not _entries(paths["nat-nat"]), "the connections are forgotten")
        connect()
        eventually(lambda: _entries(paths["nat-nat"]) == BLOCK, "the ports are used again")
        assert not_inserted(paths["nat-nat"]) == 0


def _has_seen(receivers: Receivers, address: str) -> bool:
    return address in {seen for seen, _ in receivers.seen("one")}


def _nic(region: str) -> dict[str, str]:
    return {"subnetwork": f"projects/p/regions/{region}/subnetworks/{region}"}


def _entries(path: str) -> int:
    return len(sh(path, "conntrack -L -p udp").splitlines())


@pytest.mark.behaviour("4.13.1")
def test_each_gateway_translates_its_region() -> None:
    hosts = [{"name": name, "address": address} for name, address in HOSTS.items()]
    regions = {"us-central1": "10.128.0.0/20", "europe-west1": "10.132.0.0/20"}
    of = topology(
        compute=compute(
            subnetworks=[{"name": r, "network": "vpc", "region": r, "ipCidrRange": c} for r, c in regions.items()],
            instances=[{**vm(f"in-{r}"), "zone": f"{r}-b", "networkInterfaces": [_nic(r)]} for r in regions],
            routers=[{"name": r, "network": "vpc", "region": r, "nats": [{"name": f"of-{r}"}]} for r in regions],
        ),
        internet={"hosts": hosts},
    )
    state = running(of)
    expected = {
        f"in-{router.region}": gateway.externals[0]
        for router in of.compute.routers
        for gateway in gateways(of, router, state.allocations.addresses)
    }
    planned = compile_topology(of, state)
    with spaces(*(space.name for space in planned.namespaces)) as paths, ExitStack() as stack:
        apply(planned, paths)
        receivers = Receivers(paths, "udp", stack)
        for machine, address in expected.items():
            namespace.inside(paths[machine], partial(send, "udp", HOSTS["one"], 1, stack))
            eventually(partial(_has_seen, receivers, address), machine)
        assert len(set(expected.values())) == 2
