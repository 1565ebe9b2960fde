"""Throw-away namespaces for the tests of the kernel package, and servers in them."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from testbed.kernel import namespace
from testbed.kernel.command import run

Paths = Mapping[str, str]


@contextmanager
def spaces(*names: str) -> Iterator[Paths]:
    """Makes one namespace per name, `tb-kt<random>-<name>`, and yields where they are."""
    prefix = f"tb-kt{secrets.token_hex(3)}-"
    named = {name: f"{prefix}{name}" for name in names}
    namespace.create(*named.values())
    try:
        yield {name: namespace.path(full) for name, full in named.items()}
    finally:
        namespace.delete(*named.values())


def sh(path: str, command: str) -> str:
    """What a command prints inside a namespace."""
    return namespace.inside(path, lambda: run(command.split()))


def ip(path: str, command: str) -> Any:
    """The JSON that `ip` prints inside a namespace."""
    return json.loads(sh(path, f"ip -json -details {command}") or "[]")


@contextmanager
def living_in(path: str) -> Iterator[int]:
    """A process that lives in a namespace; its id."""
    process = namespace.inside(path, lambda: subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    with process:
        yield process.pid
        process.kill()


@contextmanager
def answering(path: str, address: tuple[str, int], name: str) -> Iterator[None]:
    """A TCP server inside a namespace that answers whatever it gets with its name, connection by connection."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the test may cut the path
            while connection.recv(64):
                connection.sendall(name.encode())

    def serve() -> None:
        with suppress(OSError):  # the listener is shut down below
            while True:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=talk, args=(connections[-1],)))
                threads[-1].start()

    with namespace.socket_in(path, socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        try:
            yield
        finally:
            for one in (listener, *connections):
                with suppress(OSError):  # closed already
                    one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def ask(connection: socket.socket) -> str:
    """The name of the server at the other end."""
    connection.sendall(b"?")
    return connection.recv(64).decode()
