"""The frame of a plan: which namespaces it has, where they are found, and whether another plan has the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from testbed.fabric.naming import host_name
from testbed.fabric.plan import Namespace, Plan
from testbed.kernel import namespace


def same(old: Plan, new: Plan) -> bool:
    """Whether two plans have the same nodes and namespaces, wired alike: they differ in what is inside, at the most."""

    def wiring(plan: Plan) -> dict[str, object]:
        return {
            space.name: (space.node, space.loopback, space.tunnels, space.vlans, space.sysctls)
            for space in plan.namespaces
        }

    def nodes(plan: Plan) -> list[object]:
        return [replace(node, files={}) for node in plan.nodes]

    return nodes(old) == nodes(new) and set(old.veths) == set(new.veths) and wiring(old) == wiring(new)


def path(plan: Plan, space: Namespace, pids: Mapping[str, int]) -> str:
    """Where a namespace is found: that of a node by its process."""
    return f"/proc/{pids[space.name]}/ns/net" if space.node else namespace.segment(plan.testbed, space.name)


def segments(plan: Plan) -> set[str]:
    """The names on the host of the namespaces that are ours to make."""
    return {host_name(plan.testbed, space.name) for space in plan.namespaces if not space.node}
