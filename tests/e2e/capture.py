"""Packets as they come in at a device: what the receiving side sees, whether or not a program listens there."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from tests.e2e.program import Program

ETH_P_IP = 0x0800
_UDP = struct.Struct("!BBHHHBBH4s4sHHHH")


@dataclass(frozen=True, slots=True)
class Packet:
    """The head of an IPv4 packet."""

    source: str
    destination: str
    protocol: int


def node_path(testbed: Program, node: str) -> str:
    """Where the network namespace of a node is found."""
    inspect = ["docker", "inspect", "-f", "{{.State.Pid}}", host_name(testbed.name, node)]
    pid = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    return f"/proc/{pid}/ns/net"


@contextmanager
def arriving(path: str, device: str = "eth0") -> Iterator[Callable[[], list[Packet]]]:
    """Listen at a device; the function tells what has come in so far, before any rule of that namespace is tried."""
    with namespace.socket_in(path, socket.AF_PACKET, socket.SOCK_DGRAM) as tap:
        tap.bind((device, ETH_P_IP))
        tap.setblocking(False)
        packets: list[Packet] = []

        def so_far() -> list[Packet]:
            while True:
                try:
                    head = tap.recv(65535)
                except BlockingIOError:
                    return packets
                packets.append(Packet(socket.inet_ntoa(head[12:16]), socket.inet_ntoa(head[16:20]), head[9]))

        yield so_far


def send_udp(path: str, source: str, destination: str, port: int) -> None:
    """Send one datagram as root of a namespace could: with any source address."""
    total = _UDP.size
    head = _UDP.pack(
        0x45,
        0,
        total,
        0,
        0,
        64,
        socket.IPPROTO_UDP,
        0,
        socket.inet_aton(source),
        socket.inet_aton(destination),
        40000,
        port,
        total - 20,
        0,
    )
    with namespace.inside(path, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as raw:
        raw.sendto(head, (destination, 0))
