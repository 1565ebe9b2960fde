"""The one port of a testbed's control plane: REST and gRPC, plain and over TLS, directly and as a client's HTTPS proxy.

What a connection's first bytes are decides where it goes; then it is spliced to one of two back ends, on unix sockets:

    HTTP/2 preface              -> gRPC
    TLS, the client offers h2   -> gRPC
    TLS otherwise               -> REST
    CONNECT host:port           -> an answer, and then as above: the host is only compared with those that are served
    anything else               -> REST, unchanged (the request line may be in absolute form)

So clients of Google's APIs need no endpoint option: they take the door for their proxy.  Nothing is ever dialled: the
door is no way to the internet.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from testbed.api.frontdoor import acceptor
from testbed.api.frontdoor.http_connect import HEAD_LIMIT, admit
from testbed.api.frontdoor.pipe import Stream, accepted, closing, splice
from testbed.api.frontdoor.protocol import Greeting, greeting

Hosted = Callable[[bytes, socket.socket], Awaitable[Stream | None]]
"""Opens the way to what the head of a request is for, if it is hosted elsewhere; the socket is the client's."""


class Door:
    """Splices connections to the back ends.

    `rest` and `grpc` are the back ends' unix sockets, `tls` is what TLS clients are answered with (it agrees on a
    protocol by ALPN), `allowed` says whether a host may be asked for by CONNECT.  At most `connections` are served at a
    time, the next ones wait; of one address at most `of_one_caller`, and more are closed.  One whose first request is
    for what is `hosted` elsewhere is spliced there.  `patience` is what a client may take until it has said what it
    wants, TLS handshake included, and `grace` what connections have left when the door closes, both in seconds.
    """

    def __init__(
        self,
        rest: Path,
        grpc: Path,
        tls: ssl.SSLContext,
        allowed: Callable[[str], bool],
        *,
        hosted: Hosted | None = None,
        connections: int = 2000,
        of_one_caller: int | None = None,
        patience: float = 10.0,
        grace: float = 5.0,
    ) -> None:
        self._rest = rest
        self._grpc = grpc
        self._tls = tls
        self._allowed = allowed
        self._hosted = hosted
        self._limit = connections
        self._of_one_caller = of_one_caller
        self._patience = patience
        self._grace = grace

    async def serve(self, listener: socket.socket) -> None:
        """Serve until cancelled.  Raises as `acceptor.serve`."""
        await acceptor.serve(
            listener, self._answer, connections=self._limit, grace=self._grace, of_one_caller=self._of_one_caller
        )

    async def _answer(self, sock: socket.socket) -> None:
        async with asyncio.timeout(self._patience):
            first = await greeting(sock)
            if first is Greeting.CONNECT:
                if not await admit(sock, self._allowed):
                    return
                first = await greeting(sock)  # a second CONNECT is REST's to refuse
            if first is None:
                return
            client = await accepted(sock, self._tls if first is Greeting.TLS else None)
        async with closing(client):
            http2 = first is Greeting.HTTP2 or _speaks_http2(client)
            begun = b""
            if self._hosted is None or http2:
                server = await asyncio.open_unix_connection(self._grpc if http2 else self._rest)
            else:
                async with asyncio.timeout(self._patience):
                    begun = await head(client[0])
                    server = await self._hosted(begun, sock) or await asyncio.open_unix_connection(self._rest)
            async with closing(server):
                server[1].write(begun)
                await splice(client, server)


async def head(reader: asyncio.StreamReader) -> bytes:
    """What a client has sent when it has sent the head of its first request, or as much as may have a host in it."""
    begun = b""
    while b"\r\n\r\n" not in begun and len(begun) < HEAD_LIMIT:
        data = await reader.read(HEAD_LIMIT)
        if not data:
            break
        begun += data
    return begun


def _speaks_http2(client: Stream) -> bool:
    tls = client[1].get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() == "h2"
