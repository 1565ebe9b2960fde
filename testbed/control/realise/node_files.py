"""Brings the files of nodes into running containers, and remembers what each one has taken up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from testbed.control.state.store import Store
from testbed.errors import Unavailable
from testbed.fabric.plan import Node
from testbed.nodes.docker import DockerNodes

PATIENCE = 60.0
"""Seconds until a program has to have taken up its files."""


def deliver(store: Store, driver: DockerNodes, nodes: Iterable[Node], pids: Mapping[str, int]) -> list[str]:
    """Write the files of those nodes that have others, or that were started since, and have them taken up; says which.

    Raises:
        Unavailable: a program does not take up what is written.
        TestbedError: a node cannot be reached.
    """
    before = store.delivered()
    done: list[str] = []
    for node in nodes:
        digest = _digest(node, pids.get(node.name, 0))
        if not node.files or before.get(node.name) == digest:
            continue
        driver.put_files(node.name, {f"{path}.new": content for path, content in node.files.items()})
        status, output = driver.capture(node.name, node.take_up, timeout=PATIENCE)
        if status:
            raise Unavailable(
                f"node {node.name} has not taken up its files: {output.decode(errors='replace').strip()}",
                hint=f"testbed logs {node.name}",
            )
        store.set_delivered(node.name, digest)
        done.append(node.name)
    return done


def _digest(node: Node, pid: int) -> str:
    """What a program has taken up, and which one."""
    return hashlib.sha256(json.dumps([dict(node.files), pid], sort_keys=True).encode()).hexdigest()
