"""A topology in bare namespaces: what the compiler makes of it, without containers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Plan
from testbed.kernel import firewall, namespace
from testbed.kernel.apply import apply
from testbed.model.topology import Topology
from tests.kernel.spaces import Paths, spaces
from tests.unit import topologies
from tests.waiting import PATIENCE


@dataclass(slots=True)
class Built:
    """A network that packets can be sent through."""

    plan: Plan
    paths: Paths
    running: Running

    def change(self, topology: Topology) -> None:
        """Make another topology of the same nodes true."""
        self.plan = compile_topology(topology, self.running)
        apply(self.plan, self.paths)

    def address(self, instance: str) -> str:
        """The internal address that was given to an instance, by its full name."""
        return self.running.address(AddressKey.instance(instance))

    def external(self, instance: str) -> str:
        """Its external one."""
        return self.running.address(AddressKey.external(instance))

    def socket(self, space: str, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        """A socket of IPv4 in a namespace of the plan, which waits with patience."""
        made = namespace.inside(self.paths[space], lambda: socket.socket(socket.AF_INET, kind, protocol))
        made.settimeout(PATIENCE)
        return made

    def packets(self, space: str, comment: str) -> int:
        """What the rules with a comment have counted."""
        return sum(rule.packets for rule in firewall.counters(self.paths[space]) if rule.comment == comment)


@contextmanager
def built(topology: Topology, *, vlans: bool = False) -> Iterator[Built]:
    """The namespaces of a topology, wired; connector instances are healthy."""
    running = topologies.running(topology, vlans=vlans)
    plan = compile_topology(topology, running)
    with spaces(*(space.name for space in plan.namespaces)) as paths:
        apply(plan, paths)
        yield Built(plan, paths, running)


def instance(name: str, zone: str = "us-central1-a") -> str:
    """The full name of an instance of the tests' topologies."""
    return f"projects/p/zones/{zone}/instances/{name}"
