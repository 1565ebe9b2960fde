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
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from testbed.api.greeting import Greeting, greeting
from testbed.api.listener import accept, room_for
from testbed.api.splice import Stream, accepted, closing, splice
from testbed.api.tunnel import admit

_log = logging.getLogger(__name__)


class Door:
    """Splices connections to the back ends.

    `rest` and `grpc` are the back ends' unix sockets, `tls` is what TLS clients are answered with (it agrees on a
    protocol by ALPN), `allowed` says whether a host may be asked for by CONNECT.  At most `connections` are served at a
    time, the next ones wait; `patience` is what a client may take until it has said what it wants, TLS handshake
    included, and `grace` what connections have left when the door closes, both in seconds.
    """

    def __init__(
        self,
        rest: Path,
        grpc: Path,
        tls: ssl.SSLContext,
        allowed: Callable[[str], bool],
        *,
        connections: int = 2000,
        patience: float = 10.0,
        grace: float = 5.0,
    ) -> None:
        self._rest = rest
        self._grpc = grpc
        self._tls = tls
        self._allowed = allowed
        self._limit = connections
        self._patience = patience
        self._grace = grace

    async def serve(self, listener: socket.socket) -> None:
        """Serve until cancelled; then close the listener, and the connections as they end or when the grace has.

        This process's limit of open files is raised as far as the connections need it.

        Raises:
            OSError: if the listener breaks.
        """
        room = asyncio.Semaphore(room_for(self._limit))
        serving: set[asyncio.Task[None]] = set()

        def start(sock: socket.socket) -> None:
            def end(task: asyncio.Task[None]) -> None:
                serving.discard(task)
                sock.close()  # here, as a task that is cancelled before it starts closes nothing
                room.release()
                if not task.cancelled() and (defect := task.exception()):
                    _log.error("a connection ended by a defect of the door", exc_info=defect)

            task = asyncio.create_task(self._serve(sock))
            serving.add(task)
            task.add_done_callback(end)

        try:
            while True:
                await room.acquire()
                start(await accept(listener))
        finally:
            listener.close()
            await _end(serving, self._grace)

    async def _serve(self, sock: socket.socket) -> None:
        """One connection, from its first byte to its end; no error of it is anyone else's."""
        try:
            await self._answer(sock)
        except* OSError as errors:  # of either end, TLS, or a deadline
            _log.debug("a connection ended: %s", "; ".join(map(repr, _leaves(errors))))

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
            backend = self._grpc if first is Greeting.HTTP2 or _speaks_http2(client) else self._rest
            async with closing(await asyncio.open_unix_connection(backend)) as server:
                await splice(client, server)


def _speaks_http2(client: Stream) -> bool:
    tls = client[1].get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() == "h2"


async def _end(serving: set[asyncio.Task[None]], grace: float) -> None:
    try:
        if serving:
            await asyncio.wait(serving, timeout=grace)
    finally:  # also if the caller is out of patience
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def _leaves(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in errors.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
