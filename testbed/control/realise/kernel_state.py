"""What the kernel was made to be, and how it becomes what a plan says: only what differs is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.errors import AlreadyExists
from testbed.fabric.naming import host_name
from testbed.fabric.plan import Namespace, Plan
from testbed.kernel import namespace
from testbed.kernel.apply import adjust, apply
from testbed.kernel.change import KernelChange


class KernelState:
    """The namespaces of one testbed, as they were made true last."""

    def __init__(self) -> None:
        self._made: Plan | None = None
        """None if it is not known: then everything is looked at."""

    def forget(self) -> None:
        """Look at everything the next time."""
        self._made = None

    @property
    def is_known(self) -> bool:
        """Whether it is known what the kernel is like."""
        return self._made is not None

    def is_as(self, plan: Plan) -> bool:
        """Whether nothing is to be done for a plan."""
        return self._made == plan

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that are wired."""
        return frozenset(space.name for space in self._made.namespaces if space.node) if self._made else frozenset()

    def lose(self, node: str) -> None:
        """A node has ended, and its namespace with it."""
        if self._made is not None:
            self._made = self._made.with_nodes({one.name for one in self._made.nodes} - {node})

    def become(self, plan: Plan, processes: Mapping[str, int]) -> list[KernelChange]:
        """Make a plan true whose nodes run; `processes` are theirs.

        Flows are led to other connector instances first, as that needs no other change.

        Raises:
            TestbedError: the kernel refuses it, or a node has ended; everything is looked at the next time.
        """
        made, self._made = self._made, None
        paths = {space.name: namespace.of(plan.testbed, space, processes) for space in plan.namespaces}
        changes = apply(plan, paths) if made is None else _change(made, plan, paths)
        self._made = plan
        return changes


def _change(old: Plan, new: Plan, paths: Mapping[str, str]) -> list[KernelChange]:
    before = {space.name: space for space in old.namespaces}
    changed = [space for space in new.namespaces if before.get(space.name) != space]
    moved = {end.namespace for veth in set(old.veths) ^ set(new.veths) for end in (veth.a, veth.b)}
    if not moved and all(_wired_alike(before.get(space.name), space) for space in changed):
        for space in changed:
            adjust(before[space.name], space, paths[space.name])
        return []
    for space in changed:
        if space.tunnels and not space.node and space.name not in moved and _wired_alike(before.get(space.name), space):
            adjust(before[space.name], space, paths[space.name])
    return apply(new, paths, {space.name for space in changed} | (moved & paths.keys()))


def _wired_alike(old: Namespace | None, new: Namespace) -> bool:
    """Whether two states of a namespace differ in firewall and routing at the most."""
    return old is not None and (old.loopback, old.tunnels, old.vlans, old.qdiscs, old.sysctls) == (
        new.loopback,
        new.tunnels,
        new.vlans,
        new.qdiscs,
        new.sysctls,
    )


def segments(plan: Plan) -> set[str]:
    """The names on the host of the namespaces that are ours to make."""
    return {host_name(plan.testbed, space.name) for space in plan.namespaces if not space.node}


def foreign(names: set[str]) -> AlreadyExists:
    """What is said where others have namespaces whose names are needed."""
    name = min(names)
    return AlreadyExists(
        f"network namespace {name}: it exists, but this testbed did not make it",
        hint=f"remove it (ip netns delete {name}), or give the testbed another name",
    )
