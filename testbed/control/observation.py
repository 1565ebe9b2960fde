"""What can be seen of the nodes of a running testbed: their logs, and the state of their tunnels.

The control plane is asked for it by the API; where there are no nodes (in tests of the API), nothing can be seen.
"""

from __future__ import annotations

import re
from typing import Protocol

from testbed.errors import TestbedError
from testbed.nodes.docker import DockerNodes

_ESTABLISHED = re.compile(r"^(\S+): #\d+, ESTABLISHED", re.MULTILINE)
_PATIENCE = 5.0


class Nodes(Protocol):
    """Whoever can look into nodes."""

    def log(self, node: str) -> str | None:
        """What a node has written; None if that cannot be seen."""

    def established(self, gateway: str) -> frozenset[str] | None:
        """The tunnels of a VPN gateway that IKE has established, by name; None if that cannot be seen."""


class Unseen:
    """Nodes that nobody can look into."""

    def log(self, node: str) -> str | None:  # noqa: ARG002 - as Nodes has it
        """Cannot be seen."""
        return None

    def established(self, gateway: str) -> frozenset[str] | None:  # noqa: ARG002 - as Nodes has it
        """Cannot be seen."""
        return None


class Containers:
    """The nodes as containers."""

    def __init__(self, nodes: DockerNodes) -> None:
        self._nodes = nodes

    def log(self, node: str) -> str | None:
        """What its container has written."""
        try:
            return b"".join(self._nodes.logs(node)).decode(errors="replace")
        except TestbedError:  # there is none, now
            return None

    def established(self, gateway: str) -> frozenset[str] | None:
        """What strongSwan says in the gateway's container."""
        try:
            status, output = self._nodes.capture(gateway, ["swanctl", "--list-sas"], timeout=_PATIENCE)
        except TestbedError:
            return None
        return frozenset(_ESTABLISHED.findall(output.decode(errors="replace"))) if status == 0 else None
