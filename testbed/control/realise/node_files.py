"""Brings the files of a node into its running container, and has its program read them."""

from __future__ import annotations

import hashlib
import json

from testbed.errors import Unavailable
from testbed.fabric.plan import Node
from testbed.nodes.docker import DockerNodes

PATIENCE = 60.0
"""Seconds that a program may take to read its files anew."""


def deliver(driver: DockerNodes, node: Node) -> None:
    """Write the files of a node, and have its program read them.

    Raises:
        Unavailable: its program does not read what is written.
        TestbedError: the node cannot be reached.
    """
    driver.put_files(node.name, {f"{path}.new": content for path, content in node.files.items()})
    status, output = driver.capture(node.name, node.reload, timeout=PATIENCE)
    if status:
        raise Unavailable(
            f"node {node.name}: it has not read its files again: {output.decode(errors='replace').strip()}",
            hint=f"read its log: testbed logs {node.name}",
        )


def digest(node: Node, pid: int) -> str:
    """What a program has read, and which program."""
    return hashlib.sha256(json.dumps([dict(node.files), pid], sort_keys=True).encode()).hexdigest()
