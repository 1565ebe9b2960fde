"""The protocol of a connection, by its first bytes; they are left unread for the protocol's server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from enum import Enum, auto

_HANDSHAKE = 0x16
"""The type of a TLS record that carries a ClientHello (RFC 8446, section 5.1)."""
_PREFACE = b"PRI * HTTP/2.0\r\n"
"""How every client of HTTP/2 begins (RFC 9113, section 3.4)."""
_CONNECT = b"CONNECT "


class Greeting(Enum):
    """How a client begins."""

    TLS = auto()
    HTTP2 = auto()
    CONNECT = auto()
    HTTP1 = auto()
    """Anything else: what is no HTTP will be told so by the server that speaks it."""


def meaning(data: bytes) -> Greeting | None:
    """What these first bytes of a connection are, or None if there are too few to tell."""
    if data[:1] == bytes([_HANDSHAKE]):
        return Greeting.TLS
    for start, greeting in ((_PREFACE, Greeting.HTTP2), (_CONNECT, Greeting.CONNECT)):
        if data.startswith(start):
            return greeting
    return None if _PREFACE.startswith(data) or _CONNECT.startswith(data) else Greeting.HTTP1


async def greeting(sock: socket.socket) -> Greeting | None:
    """How the client begins, or None if it said nothing and ended."""
    data = await peek(sock, lambda data: meaning(data) is not None, len(_PREFACE))
    return meaning(data) or (Greeting.HTTP1 if data else None)


async def peek(sock: socket.socket, is_enough: Callable[[bytes], bool], limit: int) -> bytes:
    """The first bytes on a TCP socket, left unread: enough of them, or `limit`, or all, if the client sends no more.

    Raises:
        OSError: if the connection is broken.
    """
    seen = -1
    while True:
        await readable(sock)
        data = sock.recv(limit, socket.MSG_PEEK)
        if is_enough(data) or len(data) in {seen, limit}:
            break
        seen = len(data)
        # What is unread keeps the socket readable: only one byte more, or the end, shall wake us.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return data


async def readable(sock: socket.socket) -> None:
    """Wait until there is something to read, to accept, or an end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
