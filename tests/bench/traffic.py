"""What one TCP connection carries: bytes per second, and round trips per second.

A socket belongs to the namespace that it was made in, whoever uses it; so the two processes that do need not be there.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from testbed.kernel import namespace

_SIZE = 1 << 20
_PORT = 5001
_PATIENCE = 10.0
_SPAWN = multiprocessing.get_context("spawn")  # this process may have threads, and must not fork


@dataclass(frozen=True, slots=True)
class Path:
    """A way between two namespaces."""

    client: str
    server: str
    address: str
    """The server's."""


def throughput(path: Path, seconds: float) -> float:
    """Bits per second from client to server, as the server receives them."""
    with _connected(path) as (client, server), _process(partial(_send, client, seconds), 0):
        client.close()  # the sender's copy is the only one: its end is the end of the stream
        _use(1)
        buffer = memoryview(bytearray(_SIZE))
        server.recv(1)  # the sender has begun
        received, began = 0, time.monotonic()
        while count := server.recv_into(buffer):
            received += count
        return received * 8 / (time.monotonic() - began)


def latency(path: Path, seconds: float) -> float:
    """The median time of a round trip of one byte, in seconds."""
    with _connected(path) as (client, server), _process(partial(_echo, server), 0):
        server.close()
        _use(1)
        client.sendall(b"?")
        client.recv(1)  # the other process has begun
        times = []
        deadline = time.monotonic() + seconds
        while (began := time.monotonic()) < deadline:
            client.sendall(b"?")
            client.recv(1)
            times.append(time.monotonic() - began)
        client.close()
        return median(times)


def _send(client: socket.socket, seconds: float) -> None:
    data = bytes(_SIZE)
    deadline = time.monotonic() + seconds
    with client:
        while time.monotonic() < deadline:
            client.sendall(data)


def _echo(server: socket.socket) -> None:
    with server:
        while byte := server.recv(1):
            server.sendall(byte)


@contextmanager
def _connected(path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    with closing(namespace.socket_in(path.server, socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((path.address, _PORT))
        listener.listen(1)
        client = namespace.connect(path.client, (path.address, _PORT), _PATIENCE)
        server, _ = listener.accept()
    with closing(client), closing(server):
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client, server


@contextmanager
def _process(work: Callable[[], None], processor: int) -> Iterator[None]:
    """Work that another process does meanwhile, on a processor of its own where there is one."""
    process = _SPAWN.Process(target=_on, args=(processor, work))
    process.start()
    try:
        yield
    finally:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _on(processor: int, work: Callable[[], None]) -> None:
    _use(processor)
    work()


def _use(processor: int) -> None:
    os.sched_setaffinity(0, {processor % (os.cpu_count() or 1)})
