"""A VM cannot open a connection to a service through the connector; only answers flow (behaviour 2.1.3, 2.1.8)."""

from __future__ import annotations

from collections.abc import Iterator
from socket import IPPROTO_UDP

import pytest

from tests.e2e.capture import arriving, node_path, send_udp
from tests.e2e.program import Program, example
from tests.e2e.readers import hits, instances, seen
from tests.waiting import QUIET, eventually

VM, VM_EUROPE = "10.128.0.2", "10.132.0.2"
CONNECT = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def tried(attempt):
    kind, (host, port) = attempt
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(float(sys.argv[1]))
        try:
            s.connect((host, int(port)))
            s.send(b"x")
            return f"answered: {s.recv(99)}" if kind == socket.SOCK_DGRAM else "connected"
        except OSError as error:
            return str(error)
targets = [target.split(":") for target in sys.argv[2:]]
with ThreadPoolExecutor() as pool:
    print(*pool.map(tried, [(k, t) for t in targets for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]), sep="\\n")
"""
"""SECONDS HOST:PORT...: tries each by TCP and by UDP for so long, and prints what happened."""
SILENCE = "timed out"


@pytest.fixture(scope="module")
def opened(demo: Program) -> Iterator[Program]:
    """The example with a rule that lets everything in: what keeps VMs out is not the firewall."""
    topology = example(demo.name)
    topology["compute"]["firewalls"].append(
        {"name": "allow-everything", "network": "vpc", "priority": 10, "allow": ["all"]}
    )
    demo.up(topology)
    yield demo
    demo.up(example(demo.name))


@pytest.fixture(scope="module")
def inner(opened: Program) -> str:
    """The address of hello-run's NIC, as the service itself sees it."""
    answer = opened.invoke("hello-run", f"/tcp?host={VM}&port=7&line=hello")
    return str(answer["local"].partition(":")[0])


@pytest.fixture(scope="module")
def outer(opened: Program) -> str:
    """The address of hello-run's tunnel ends, as an instance sees it when a request is sent."""
    with arriving(node_path(opened, next(iter(instances(opened))))) as so_far:

        def called() -> list[str]:
            assert seen(opened, "hello-run", f"http://{VM}/") is not None
            return [packet.source for packet in so_far() if packet.source.startswith("35.199.")]

        return eventually(called, "a packet in the tunnel to this instance")[0]


@pytest.mark.behaviour("2.1.3", "2.6.1")
def test_answers_flow(opened: Program) -> None:
    assert seen(opened, "hello-run", f"http://{VM}/") in instances(opened).values()


@pytest.mark.behaviour("2.1.3")
def test_a_runtime_cannot_be_called(opened: Program, inner: str, outer: str) -> None:
    """Not at its own address, where it listens, nor at that of its tunnel ends.  Nothing arrives."""
    targets = [f"{address}:{port}" for address in (inner, outer) for port in (8080, 665)]
    with arriving(node_path(opened, "hello-run")) as so_far:
        tried = opened.execute("vm-us", "python3", "-c", CONNECT, str(QUIET), *targets).stdout.splitlines()
        assert tried == [SILENCE] * 2 * len(targets)
        assert VM not in {packet.source for packet in so_far()}
        assert seen(opened, "hello-run", f"http://{VM}/") is not None
        assert VM in {packet.source for packet in so_far()}  # an answer


@pytest.mark.behaviour("2.1.3")
def test_an_instance_has_nothing_to_offer(opened: Program) -> None:
    """What the user's rule lets through to a connector instance is dropped there."""
    name, address = next(iter(instances(opened).items()))
    targets = [f"{address}:{port}" for port in (22, 80, 665, 8080)]
    with arriving(node_path(opened, name)) as so_far:
        tried = opened.execute("vm-us", "python3", "-c", CONNECT, str(QUIET), *targets).stdout.splitlines()
        assert tried == [SILENCE] * 2 * len(targets)
        assert VM in {packet.source for packet in so_far()}


@pytest.mark.behaviour("2.1.8")
def test_a_vm_cannot_speak_the_tunnel(opened: Program) -> None:
    """The tunnel's packets, sent by a VM under its own address, reach the instance and go no further."""
    name, address = next(iter(instances(opened).items()))
    before = _received(opened, name)
    forged = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        " [s.sendto(bytes.fromhex('0c000001') + (100 << 8).to_bytes(4) + b'E' * 60, (sys.argv[1], 665))"
        " for _ in range(20)]"
    )
    with arriving(node_path(opened, name)) as so_far:
        opened.execute("vm-us", "python3", "-c", forged, address)
        assert [packet.source for packet in so_far() if packet.protocol == IPPROTO_UDP].count(VM) == 20
    assert _received(opened, name) == before


def _received(testbed: Program, instance: str) -> int:
    """Packets that came out of the tunnel at an instance."""
    return int(testbed.execute(instance, "cat", "/sys/class/net/tun0/statistics/rx_packets").stdout)


@pytest.mark.parametrize("target", ["vm-us", "instance"])
def test_a_vm_cannot_send_under_another_address(opened: Program, outer: str, target: str) -> None:
    """Not even as root: of what vm-europe sends, only what carries its own address arrives."""
    name, address = next(iter(instances(opened).items()))
    receiver, destination, port = ("vm-us", VM, 7) if target == "vm-us" else (name, address, 665)
    others = {*instances(opened).values(), outer, "10.8.0.14", "10.128.0.99", "35.191.0.2", "203.0.113.10"}
    others.discard(destination)
    sender = node_path(opened, "vm-europe")
    before = hits(opened, "vpc-vpc")["anti-spoofing"]
    with arriving(node_path(opened, receiver)) as so_far:
        for source in [*others, VM_EUROPE]:
            send_udp(sender, source, destination, port)
        assert [packet.source for packet in so_far() if packet.protocol == IPPROTO_UDP] == [VM_EUROPE]
    assert hits(opened, "vpc-vpc")["anti-spoofing"] == before + len(others)


def test_a_vm_cannot_get_into_a_connection_of_others(opened: Program) -> None:
    """No firewall rule is tried for what conntrack takes for a part of it: the addresses alone keep it out."""
    here, there, other = (node_path(opened, node) for node in ("vm-us", "vm-europe", "hello-flexible"))
    with arriving(here) as at_first:
        send_udp(here, VM, VM_EUROPE, 40000)
        send_udp(there, VM_EUROPE, VM, 40000)
        assert [packet.source for packet in at_first() if packet.protocol == IPPROTO_UDP] == [VM_EUROPE]

    def passed_by_the_rules() -> bool:
        before = hits(opened, "vpc-vpc")
        with arriving(here) as at_first, arriving(there) as so_far:
            send_udp(other, VM, VM_EUROPE, 40000)
            send_udp(other, VM_EUROPE, VM, 40000)
            send_udp(here, VM, VM_EUROPE, 40000)
            assert [packet.source for packet in so_far() if packet.protocol == IPPROTO_UDP] == [VM]
            assert not [packet for packet in at_first() if packet.protocol == IPPROTO_UDP]
        after = hits(opened, "vpc-vpc")
        assert after["anti-spoofing"] == before["anti-spoofing"] + 2
        return after["allow-everything"] == before["allow-everything"]

    eventually(passed_by_the_rules, "no connection of others begins meanwhile")


@pytest.mark.behaviour("2.1.8")
def test_a_runtime_cannot_send_as_another(opened: Program, inner: str) -> None:
    """Behaviour 2.1.8: what another runtime forges does not get into this one's tunnel."""
    sender = node_path(opened, "hello-function")
    own = str(opened.invoke("hello-function", f"/tcp?host={VM}&port=7&line=hello")["local"].partition(":")[0])
    connectors = set(instances(opened).values())
    with arriving(node_path(opened, "vm-us")) as so_far:
        send_udp(sender, inner, VM, 7)
        send_udp(sender, own, VM, 7)
        udp = eventually(lambda: [p for p in so_far() if p.protocol == IPPROTO_UDP], "the honest datagram")
        assert len(udp) == 1
        assert udp[0].source in connectors
