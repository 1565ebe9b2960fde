"""What BGP has brought: the routes that the speakers of a testbed have put into the kernels of their nodes."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from testbed.fabric.allocation.running import LearnedRoute, Running
from testbed.fabric.hybrid.vpn import speakers
from testbed.fabric.node_specs import ATTACHMENT_DEVICE, TUNNEL_DEVICE
from testbed.model.topology import Topology

_GATEWAY = 0x2
"""RTF_GATEWAY (route.h): a route with a next hop, as all routes of a speaker are."""


def learned(topology: Topology, running: Running, processes: Mapping[str, int]) -> tuple[LearnedRoute, ...]:
    """The routes that the speakers have now; a node that has ended has none."""
    nodes = {running.name(key) for key in speakers(topology)}
    found = (
        LearnedRoute(n, *r) for n in nodes if n in processes for r in _routes(Path(f"/proc/{processes[n]}/net/route"))
    )
    return tuple(sorted(found))


def _routes(file: Path) -> Iterator[tuple[str, int]]:
    """Destination and metric of each route by way of a neighbour in a tunnel or an attachment."""
    try:
        return iter([*parse(file.read_text().splitlines()[1:])])
    except (OSError, IndexError):
        return iter(())


def parse(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """What the kernel's table says: one route a line, addresses in hexadecimal, in the host's byte order."""
    for line in lines:
        device, destination, _, flags, _, _, metric, mask, *_ = line.split()
        if device in (TUNNEL_DEVICE, ATTACHMENT_DEVICE) and int(flags, 16) & _GATEWAY:
            yield str(IPv4Network((_address(destination), str(_address(mask))))), int(metric)


def _address(text: str) -> IPv4Address:
    return IPv4Address(socket.ntohl(int(text, 16)))
