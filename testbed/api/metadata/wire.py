"""HTTP/1.1 on one connection to the metadata server: requests without bodies, and the answers to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import h11

from testbed.api.frontdoor.pipe import Stream, accepted, closing

HEAD_LIMIT = 16384
"""Bytes of a request's first line and headers."""
_BODY_LIMIT = 65536
"""Bytes of a body that nobody reads."""
_CHUNK = 16384


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """What was asked."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    gone: Callable[[], bool] = field(default=lambda: False)
    """Whether the client has gone meanwhile."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    kind: str
    """The media type."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


async def converse(
    sock: socket.socket,
    answer: Callable[[MetadataRequest], Awaitable[Reply]],
    malformed: Callable[[], Reply],
    patience: float,
) -> None:
    """Answer the requests of a connection, one after the other; `malformed` is for what is none.

    `patience` is what the client may take to ask, or to take an answer, in seconds.

    Raises:
        OSError: if the connection breaks, or the patience ends.
    """
    stream = await accepted(sock, None)
    async with closing(stream):
        wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        while True:
            async with asyncio.timeout(patience):
                try:
                    request = await _request(wire, stream)
                except h11.RemoteProtocolError:
                    if wire.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                        await _send(wire, stream, malformed(), head=False)
                    return
            if request is None:
                return
            reply = await answer(request)
            async with asyncio.timeout(patience):
                await _send(wire, stream, reply, head=request.method == "HEAD")
            if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
                return
            wire.start_next_cycle()


async def _request(wire: h11.Connection, stream: Stream) -> MetadataRequest | None:
    """The next request; None if there is none any more."""
    reader, _ = stream
    found, read = None, 0
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Request):
            headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in event.headers}
            target = event.target.decode("latin-1")
            found = MetadataRequest(event.method.decode("ascii"), target, headers, reader.at_eof)
        elif isinstance(event, h11.Data):
            read += len(event.data)
            if read > _BODY_LIMIT:
                raise h11.RemoteProtocolError("nobody reads such a body")
        elif isinstance(event, h11.EndOfMessage):
            return found
        else:  # the client has ended
            return None


async def _send(wire: h11.Connection, stream: Stream, reply: Reply, *, head: bool) -> None:
    headers = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body)), **reply.headers}
    reason = HTTPStatus(reply.status).phrase.encode()
    parts = [
        wire.send(h11.Response(status_code=reply.status, headers=[*headers.items()], reason=reason)),
        *([] if head else [wire.send(h11.Data(data=reply.body))]),
        wire.send(h11.EndOfMessage()),
    ]
    stream[1].write(b"".join(part for part in parts if part))
    await stream[1].drain()
