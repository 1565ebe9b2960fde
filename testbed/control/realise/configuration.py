"""Runs the Ansible roles of nodes, and remembers what each node was last configured with."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Mapping

from testbed.control.state.progress import Progress, Report
from testbed.control.state.store import Store
from testbed.errors import FailedPrecondition, InvalidArgument, NotFound
from testbed.fabric.naming import host_name
from testbed.fabric.plan import Node
from testbed.nodes.configure import configure
from testbed.nodes.container import RunningNode

_UNFINISHED = ""
"""The digest of a configuration that was begun."""


def run_roles(
    store: Store,
    nodes: Collection[Node],
    running: Mapping[str, RunningNode],
    report: Report,
    *,
    only: Collection[str] | None = None,
    stop: threading.Event | None = None,
) -> list[str]:
    """Run the roles of these nodes `only`, or of those whose variables or container have changed; says which.

    All nodes are given, for the inventory is about all of them.

    Raises:
        TestbedError: as `testbed.nodes.configure.configure` does.
    """
    roles = [node for node in nodes if node.role]
    before = store.nodes.configured()
    digests = _digests(nodes, running)
    if only is None:
        only = unconfigured(store, nodes, running)
    if only:
        store.nodes.set_configured(dict.fromkeys(only, _UNFINISHED))
        configure(
            store.folder,
            roles,
            lambda name: host_name(store.name, name),
            lambda event: report(Progress("configuration", f"{event.node}: {event.task}")),
            only=only,
            unfinished={name for name in only if before.get(name) == _UNFINISHED},
            cancelled=stop,
        )
        store.nodes.set_configured({name: digests[name] for name in only})
        report(Progress("configuration", f"{len(only)} nodes", len(only), len(only)))
    return list(only)


def unconfigured(store: Store, nodes: Collection[Node], running: Mapping[str, RunningNode]) -> list[str]:
    """The nodes whose role has not been run with their variables, on their container."""
    before = store.nodes.configured()
    return [name for name, digest in _digests(nodes, running).items() if before.get(name) != digest]


def with_roles(asked: Collection[str], nodes: Collection[Node], running: Mapping[str, RunningNode]) -> list[str]:
    """The nodes that were asked for, or all that have a role.

    Raises:
        NotFound: there is no such node.
        InvalidArgument: nothing configures it.
        FailedPrecondition: a node that has a role does not run.
    """
    known = {node.name: node for node in nodes}
    for name in asked:
        if name not in known:
            raise NotFound(f"node {name!r}: not found (nodes: {', '.join(sorted(known))})")
        if not known[name].role:
            raise InvalidArgument(f"node {name!r} ({known[name].kind}): it has no role, so nothing is configured in it")
    found = [node.name for node in nodes if node.role]
    for name in found:
        if name not in running or running[name].state != "running":
            raise FailedPrecondition(f"node {name!r}: it does not run", hint="start it: testbed up")
    return [name for name in found if not asked or name in asked]


def _digests(nodes: Collection[Node], running: Mapping[str, RunningNode]) -> dict[str, str]:
    return {node.name: _digest(node, running[node.name]) for node in nodes if node.role}


def _digest(node: Node, running: RunningNode) -> str:
    """What a role was run with, and on which container."""
    text = json.dumps([node.role, dict(node.variables), running.container], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
