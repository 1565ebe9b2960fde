"""What can be seen of the nodes of a running testbed: their logs, and the state of their tunnels.

The control plane is asked for it by the API; where there are no nodes (in tests of the API), nothing can be seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from testbed.errors import TestbedError
from testbed.nodes.docker import DockerNodes

_ESTABLISHED = re.compile(r"^(\S+): #\d+, ESTABLISHED", re.MULTILINE)
_PATIENCE = 5.0
_THREAD = re.compile(r"^\S+ (\d+)\[(\w+)\] (.*)$")
_ADDRESS = re.compile(r"packet: from (\S+?)\[\d+\] to (\S+?)\[\d+\]")
_FAILURES = (
    (
        re.compile(r"N\(AUTH_FAILED\)|AUTHENTICATION_FAILED|authentication of .* failed|invalid ID_V1 payload"),
        "AUTHORIZATION_ERROR",
    ),
    (re.compile(r"N\((NO_PROP|TS_UNACCEPT)\)|NO_PROPOSAL_CHOSEN|INVALID_ID_INFORMATION"), "NEGOTIATION_FAILURE"),
    (re.compile(r"^(retransmit \d|giving up after \d)"), "NO_INCOMING_PACKETS"),
)
_SPOKEN = re.compile(r"^peer\s+BGP\s+\S+\s+(\S+)\s+(\S+)\s*(\S*)", re.MULTILINE)
_EXPORTED = re.compile(r"Routes:\s+(\d+) imported, (?:\d+ filtered, )?(\d+) exported")


@dataclass(frozen=True, slots=True)
class BgpState:
    """A BGP session as its speaker sees it."""

    state: str
    """RFC 4271's word: `Established`, `Idle`, `Connect`, ..."""
    since: str
    """The time of day of the last change."""
    imported: int = 0
    exported: int = 0

    @property
    def up(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"


def bgp_state(text: str) -> BgpState | None:
    """What BIRD says of its only peer (`show protocols all peer`)."""
    found = _SPOKEN.search(text)
    if found is None:
        return None
    routes = _EXPORTED.search(text)
    counts = (int(routes[1]), int(routes[2])) if routes else (0, 0)
    return BgpState(found[3] or "Idle", found[2], *counts)


def handshake(log: str, peer: str) -> str | None:
    """Why there is no tunnel with a peer, by the last that strongSwan wrote of it: a status of a tunnel; or None.

    What a line says is about the packet that the same thread has received before, or (if it is sent again) sends next.
    """
    peers: dict[str, str] = {}
    waiting: dict[str, str] = {}
    last: str | None = None
    for line in log.splitlines():
        if (parts := _THREAD.match(line)) is None:
            continue
        thread, group, text = parts.groups()
        if group == "NET" and (ends := _ADDRESS.search(text)):
            peers[thread] = ends[1] if text.startswith("received") else ends[2]
            last = waiting.pop(thread, last) if peers[thread] == peer else last
            waiting.pop(thread, None)
            continue
        for pattern, status in _FAILURES:
            if pattern.search(text):
                if status == "NO_INCOMING_PACKETS":
                    waiting[thread] = status
                elif peers.get(thread) == peer:
                    last = status
    return last


Stream = Literal["stdout", "stderr"]


class LogLine(NamedTuple):
    """A line that a container has written."""

    time: str
    """As RFC 3339 has it, in UTC."""
    text: str


class ObservedNodes(Protocol):
    """A source of observations of nodes."""

    def lines(self, node: str, stream: Stream, most: int) -> list[LogLine]:
        """The last lines that a node has written to a stream; none if that cannot be seen."""

    def log(self, node: str) -> str | None:
        """What a node has written; None if that cannot be seen."""

    def established(self, gateway: str) -> frozenset[str] | None:
        """The tunnels of a VPN gateway that IKE has established, by name; None if that cannot be seen."""

    def bgp(self, node: str) -> BgpState | None:
        """The BGP session of a tunnel's node; None if that cannot be seen."""


class Unseen:
    """Nodes that nobody can look into."""

    def lines(self, node: str, stream: Stream, most: int) -> list[LogLine]:  # noqa: ARG002 - as Nodes has it
        """Cannot be seen."""
        return []

    def log(self, node: str) -> str | None:  # noqa: ARG002 - as Nodes has it
        """Cannot be seen."""
        return None

    def established(self, gateway: str) -> frozenset[str] | None:  # noqa: ARG002 - as Nodes has it
        """Cannot be seen."""
        return None

    def bgp(self, node: str) -> BgpState | None:  # noqa: ARG002 - as Nodes has it
        """Cannot be seen."""
        return None


class Containers:
    """The nodes as containers."""

    def __init__(self, nodes: DockerNodes) -> None:
        self._nodes = nodes

    def lines(self, node: str, stream: Stream, most: int) -> list[LogLine]:
        """What Docker has kept of it."""
        try:
            kept = b"".join(self._nodes.logs(node, tail=most, only=stream, times=True))
        except TestbedError:  # there is none, now
            return []
        lines = (line.removesuffix("\r").partition(" ") for line in kept.decode(errors="replace").split("\n"))
        return [LogLine(time, text) for time, _, text in lines if time]

    def log(self, node: str) -> str | None:
        """What its container has written."""
        try:
            return b"".join(self._nodes.logs(node)).decode(errors="replace")
        except TestbedError:  # there is none, now
            return None

    def established(self, gateway: str) -> frozenset[str] | None:
        """What strongSwan says in the gateway's container."""
        output = self._output(gateway, "swanctl", "--list-sas")
        return None if output is None else frozenset(_ESTABLISHED.findall(output))

    def bgp(self, node: str) -> BgpState | None:
        """What BIRD says in the node's container."""
        output = self._output(node, "birdc", "show", "protocols", "all", "peer")
        return None if output is None else bgp_state(output)

    def _output(self, node: str, *command: str) -> str | None:
        """What a command in a node prints; None if there is no such node, or the command fails."""
        try:
            status, output = self._nodes.capture(node, command, timeout=_PATIENCE)
        except TestbedError:
            return None
        return output.decode(errors="replace") if status == 0 else None
