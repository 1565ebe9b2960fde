"""Requests for workloads from inside a network: they go to the front end, which is told where they come from.

At Google, what a VM asks of a service at its URL stays in Google's network, so that ingress settings can tell it from
the internet (behaviour 3.8.1).
"""

from __future__ import annotations

import asyncio
import re
import socket

from testbed.api.frontdoor.hosts import is_workload
from testbed.api.frontdoor.pipe import Stream
from testbed.control.accept.plane import ControlPlane
from testbed.errors import TestbedError
from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.serverless import ingress
from testbed.kernel import namespace
from testbed.model.core.well_known import INTERNET

_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]+)", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"[A-Z]+ https?://([^/ ]+)")
_TIMEOUT = 5.0


async def opened(plane: ControlPlane, segment: str, head: bytes, client: socket.socket) -> Stream | None:
    """The way to the front end for a client in the edge `segment`; None if its request is not for a workload.

    The front end sees the client's own address, and what stands for its network.  Where no front end answers, it is
    left to the API to say so.
    """
    if not is_workload(host_of(head)):
        return None
    try:
        sock = await asyncio.to_thread(_connected, plane, segment, client.getpeername())
    except (TestbedError, OSError):
        return None
    return await asyncio.open_connection(sock=sock)


def host_of(head: bytes) -> str:
    """The host that a request is for; empty if it says none."""
    found = _ABSOLUTE.match(head) or _HOST.search(head)
    return found[1].decode("latin-1").strip() if found else ""


def _connected(plane: ControlPlane, segment: str, client: tuple[str, int]) -> socket.socket:
    running = plane.running
    network = running.allocations.edges()[segment]
    internet = namespace.segment(plane.store.name, INTERNET)
    sock = namespace.connect(internet, (running.address(AddressKey.front_end()), ingress.PORT), _TIMEOUT)
    try:
        address, port = client
        sock.sendall(f"PROXY TCP4 {address} {ingress.mark(network)} {port} {ingress.PORT}\r\n".encode())
        sock.settimeout(0)
    except OSError:
        sock.close()
        raise
    return sock
