"""Real packets for many flows at once: everything that does not block is done by one thread, so drops cost nothing.

Each flow's packets carry its number.  Every namespace has servers that note whom they see, and answer.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from testbed.kernel import namespace
from testbed.oracle.verdict import Flow, Protocol
from tests.kernel.spaces import Paths

QUIET = 0.15
"""Seconds without any packet after which none is expected any more."""
DEADLINE = 0.9
"""Seconds that all of it may take: after one the kernel would send a SYN again, which rules would count twice."""
ECHO_REQUEST, ECHO_REPLY = 8, 0
_KINDS: Mapping[Protocol, tuple[socket.SocketKind, int]] = {
    "tcp": (socket.SOCK_STREAM, 0),
    "udp": (socket.SOCK_DGRAM, 0),
    "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMP),
}


@dataclass(slots=True)
class Probe:
    """What was seen: by flow number, the source address at the receiver, and which flows got their answer."""

    seen: dict[int, str] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def run(
        cls, paths: Paths, servers: Iterable[str], flows: Sequence[Flow], ports: Mapping[Protocol, Iterable[int | None]]
    ) -> Probe:
        """Sends the first packet of each flow and takes what comes of it."""
        probe = cls()
        with probe._stack:
            probe._stack.enter_context(probe._selector)
            for name in servers:
                namespace.inside(paths[name], partial(probe._serve, ports))
            by_source: dict[str, list[tuple[int, Flow]]] = {}
            for number, flow in enumerate(flows):
                by_source.setdefault(flow.source, []).append((number, flow))
            for name, theirs in by_source.items():
                namespace.inside(paths[name], partial(probe._send, theirs))
                probe._take(0)
            begin = time.monotonic()
            while time.monotonic() < begin + DEADLINE and probe._take(QUIET):
                pass
        return probe

    def _take(self, timeout: float) -> bool:
        """Whether anything came in; what did is handled."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            with suppress(OSError):  # refused, unreachable: the flow gets no answer
                key.data()
        return bool(ready)

    def _socket(self, protocol: Protocol) -> socket.socket:
        made = self._stack.enter_context(socket.socket(socket.AF_INET, *_KINDS[protocol]))
        made.setblocking(False)
        return made

    def _on(self, made: socket.socket, events: int, action: Callable[[], None]) -> None:
        self._selector.register(made, events, action)

    # -- servers --------------------------------------------------------------------------------------------------

    def _serve(self, ports: Mapping[Protocol, Iterable[int | None]]) -> None:
        for port in ports["tcp"]:
            listener = self._socket("tcp")
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a test may probe again
            listener.bind(("", port))
            listener.listen(256)
            self._on(listener, selectors.EVENT_READ, partial(self._accept, listener))
        for port in ports["udp"]:
            server = self._socket("udp")
            server.bind(("", port))
            self._on(server, selectors.EVENT_READ, partial(self._datagram, server))
        raw = self._socket("icmp")  # the kernel answers; this only sees
        self._on(raw, selectors.EVENT_READ, partial(self._icmp, raw))

    def _accept(self, listener: socket.socket) -> None:
        connection, (source, _) = listener.accept()
        self._stack.enter_context(connection)
        connection.setblocking(False)
        self._on(connection, selectors.EVENT_READ, partial(self._request, connection, source))

    def _request(self, connection: socket.socket, source: str) -> None:
        data = connection.recv(64)
        if data:
            self.seen[int(data)] = source
            connection.send(data)
        self._selector.unregister(connection)

    def _datagram(self, server: socket.socket) -> None:
        data, sender = server.recvfrom(64)
        self.seen[int(data)] = sender[0]
        server.sendto(data, sender)

    def _icmp(self, raw: socket.socket) -> None:
        data, (source, _) = raw.recvfrom(256)
        kind, payload = data[20], data[28:]
        if kind == ECHO_REQUEST:
            self.seen[int(payload)] = source
        elif kind == ECHO_REPLY:
            self.answered.add(int(payload))

    # -- clients --------------------------------------------------------------------------------------------------

    def _send(self, flows: Sequence[tuple[int, Flow]]) -> None:
        """Runs in the sender's namespace."""
        raw = self._socket("icmp")
        self._on(raw, selectors.EVENT_READ, partial(self._icmp, raw))
        for number, flow in flows:
            with suppress(OSError):  # no route: the kernel says so at once
                self._begin(number, flow, raw)

    def _begin(self, number: int, flow: Flow, raw: socket.socket) -> None:
        data = str(number).encode()
        if flow.protocol == "icmp":
            raw.sendto(_echo_request(number, data), (flow.destination, 0))
            return
        client = self._socket(flow.protocol)
        if flow.protocol == "udp":
            client.connect((flow.destination, flow.port))
            client.send(data)
            self._on(client, selectors.EVENT_READ, partial(self._answer, client))
            return
        client.connect_ex((flow.destination, flow.port))
        self._on(client, selectors.EVENT_WRITE, partial(self._connected, client, data))

    def _connected(self, client: socket.socket, data: bytes) -> None:
        self._selector.unregister(client)
        client.send(data)
        self._on(client, selectors.EVENT_READ, partial(self._answer, client))

    def _answer(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self.answered.add(int(client.recv(64)))


def _echo_request(number: int, payload: bytes) -> bytes:
    """RFC 792, with the checksum of RFC 1071."""
    payload = payload.rjust(8, b"0")
    head = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, number & 0xFFFF, 1)
    words = struct.unpack(f"!{(len(head) + len(payload)) // 2}H", head + payload)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:] + payload
