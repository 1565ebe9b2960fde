"""Two connections made one: what comes on either goes out on the other, as fast as the slower one takes it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LINGER = 5.0
"""Seconds that a side may take to see that the other has ended, before it is cut off."""
_CHUNK = 65536

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def splice(client: Stream, server: Stream) -> None:
    """Copy in both directions, until the server has ended and the client has seen it.

    A client that has said all ends its half only: the server's answer still comes (on TLS both halves end together, as
    Python's has no halves).

    Raises:
        ExceptionGroup: of the OSErrors that broke a connection.
    """
    async with asyncio.TaskGroup() as group:
        questions = group.create_task(_copy(client[0], server[1]))
        await _copy(server[0], client[1])
        # Closing while the client still sends resets the connection, and the last answer may be lost in that.
        await asyncio.wait({questions}, timeout=LINGER)
        questions.cancel()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
    else:
        sink.close()


async def accepted(sock: socket.socket, tls: ssl.SSLContext | None) -> Stream:
    """The stream on a socket that was accepted, after the TLS handshake if there is one.

    Raises:
        OSError: if the handshake fails.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, sock, ssl=tls, ssl_shutdown_timeout=LINGER if tls else None
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


@asynccontextmanager
async def closing(stream: Stream) -> AsyncIterator[Stream]:
    """Close a stream after what was written has gone out; at once, if something went wrong."""
    _, writer = stream
    try:
        yield stream
        writer.close()
        async with asyncio.timeout(LINGER):
            await writer.wait_closed()
    finally:
        writer.transport.abort()
