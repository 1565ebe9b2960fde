"""The namespaces of a served control plane: what its topology is compiled to, without containers."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from testbed.fabric.compiler import compile_topology
from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.kernel.apply import apply
from tests.clients.conftest import Served
from tests.waiting import PATIENCE


class Spaces:
    """They are there until the stack closes; the plan is made true again by `apply`."""

    def __init__(self, served: Served, stack: ExitStack) -> None:
        self._served = served
        self._stack = stack
        self.paths: dict[str, str] = {}
        self.apply()

    def apply(self) -> None:
        plane = self._served.control.plane
        plan = compile_topology(plane.topology(), plane.running)
        for name in {space.name for space in plan.namespaces} - self.paths.keys():
            full = host_name(plan.testbed, name)
            namespace.create(full)
            self._stack.callback(namespace.delete, full)
            self.paths[name] = namespace.path(full)
        apply(plan, self.paths)

    def connect(self, node: str, address: str, port: int, timeout: float = PATIENCE) -> socket.socket:
        """A connection from a node."""
        return self._stack.enter_context(namespace.connect(self.paths[node], (address, port), timeout))

    def listens(self, space: str, address: str) -> bool:
        """Whether somebody listens in a namespace, at `ADDRESS:PORT`."""
        return address in namespace.inside(self.paths[space], listeners)


def listeners() -> list[str]:
    """Where somebody listens in this thread's namespace."""
    with open("/proc/thread-self/net/tcp", encoding="ascii") as file:  # noqa: PTH123 - of the thread
        rows = [line.split() for line in file][1:]
    found = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [f"{socket.inet_ntoa(bytes.fromhex(host)[::-1])}:{int(port, 16)}" for host, port in found]
