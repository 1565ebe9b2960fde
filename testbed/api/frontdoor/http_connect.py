"""The request by which a client asks a proxy for a tunnel (CONNECT; RFC 9110, section 9.3.6), and the answers to it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

import h11

from testbed.api.frontdoor.pipe import LINGER
from testbed.api.frontdoor.protocol import peek
from testbed.errors import InvalidArgument

HEAD_LIMIT = 8192
"""Bytes of a request's first line and headers."""
_END = b"\r\n\r\n"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_CHUNK = 65536
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):[0-9]{1,5}")


async def admit(sock: socket.socket, allowed: Callable[[str], bool]) -> bool:
    """Answer the CONNECT request that comes first on a socket; whether it was granted, and the client may go on.

    Raises:
        OSError: if the connection breaks.
    """
    loop = asyncio.get_running_loop()
    head = await peek(sock, lambda data: _END in data, HEAD_LIMIT)
    head = head[: head.index(_END) + len(_END)] if _END in head else head
    await loop.sock_recv(sock, len(head))  # and nothing of what follows: that is the next protocol's
    try:
        host = host_of(head)
    except InvalidArgument as error:
        too_long = len(head) >= HEAD_LIMIT
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_long else HTTPStatus.BAD_REQUEST
        answer = refusal(status, error.message)
    else:
        if allowed(host):
            await loop.sock_sendall(sock, _ESTABLISHED)
            return True
        answer = refusal(HTTPStatus.FORBIDDEN, f"this is a testbed's door to Google's APIs, and {host} is none of them")
    await loop.sock_sendall(sock, answer)
    sock.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError):  # what the client still sends would reset the connection, and the answer with it
        async with asyncio.timeout(LINGER):
            while await loop.sock_recv(sock, _CHUNK):
                pass
    return False


def host_of(head: bytes) -> str:
    """The host that a CONNECT request is for, in lower case; `head` is all of the request, with the empty line.

    Raises:
        InvalidArgument: if this is no such request.
    """
    parser = h11.Connection(h11.SERVER)
    try:
        parser.receive_data(head)
        request = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise InvalidArgument(f"CONNECT request: it cannot be read: {error}") from error
    if not isinstance(request, h11.Request):
        raise InvalidArgument("CONNECT request: it has no end")
    found = _AUTHORITY.fullmatch(request.target.decode())
    if found is None:
        raise InvalidArgument("CONNECT request: its target is not HOST:PORT")
    return str(found[1] or found[2]).lower().rstrip(".")


def refusal(status: HTTPStatus, text: str) -> bytes:
    """An answer that says no, in a sentence, and ends the connection."""
    body = f"{text}\n".encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body
