"""What the receiving side of a testbed saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.kernel import namespace
from testbed.kernel.firewall import counters
from tests.e2e.program import Program
from tests.waiting import PATIENCE

LONGEST = 30
"""Seconds that the example's services wait for an answer at most."""
SERVICES = ("hello-run", "hello-function", "hello-standard")


def instances(testbed: Program) -> dict[str, str]:
    """Connector instances and their addresses."""
    return {row["name"]: row["address"] for row in testbed.json("status")["instances"]}


def health(testbed: Program) -> list[str]:
    """The health of all connector instances."""
    return [row["health"] for row in testbed.json("status")["instances"]]


def hits(testbed: Program, segment: str) -> Mapping[str, int]:
    """Packets that each named firewall rule of a segment has decided on."""
    found: dict[str, int] = {}
    for rule in counters(namespace.path(f"tb-{testbed.name}-{segment}")):
        if rule.comment:
            found[rule.comment] = found.get(rule.comment, 0) + rule.packets
    return found


def seen(testbed: Program, service: str, url: str, *, within: float = LONGEST) -> str | None:
    """The source address at which the web server behind a URL saw a service; None if it could not be reached."""
    answer: dict[str, Any] = testbed.invoke(service, f"/http?url={url}&timeout={min(within, LONGEST)}", check=False)
    return answer["body"]["client"] if "body" in answer else None


def reaches(testbed: Program, node: str, url: str, *, within: float = PATIENCE) -> bool:
    """Whether a node can fetch a URL."""
    command = ["curl", "-sf", "-m", str(within), "-o", "/dev/null", url]
    return testbed.execute(node, *command, check=False).returncode == 0
