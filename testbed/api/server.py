"""The server of one testbed's control plane: the door on loopback, and behind it REST and gRPC on sockets of their own.

It runs in a thread beside the controller, which carries out what it accepts.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import uvicorn

from testbed.api import services
from testbed.api.callers.commands import KeyCommands
from testbed.api.callers.identity import Identity
from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.api.callers.owner_token import owner_token
from testbed.api.calls.audit import AuditLog
from testbed.api.calls.call import ImageCatalog
from testbed.api.calls.dispatch import Dispatcher
from testbed.api.calls.raw import FOLDER, Uploads
from testbed.api.frontdoor import certificates, internal_requests
from testbed.api.frontdoor.hosts import is_served
from testbed.api.frontdoor.listener import listen
from testbed.api.frontdoor.multiplexer import Door
from testbed.api.frontdoor.namespace_listeners import Inside, Offer
from testbed.api.metadata.callers import Callers
from testbed.api.metadata.server import Metadata
from testbed.api.wire.rest import Rest
from testbed.api.wire.rpc import Bridge
from testbed.control.accept.plane import ControlPlane
from testbed.control.channel.listener import Handler
from testbed.control.channel.protocol import within_reach
from testbed.control.state.summary import ports_of_others
from testbed.errors import Unavailable
from testbed.fabric.allocation.running import Running
from testbed.model.core.well_known import INTERNET
from testbed.paths import client_folder

PORT = 7667
"""Where a testbed's control plane listens if the port is free; else at the next one that is (our choice)."""
_GRACE = 2.0
_BACKLOG = 2048
"""As many as the door lets in: asyncio copes badly with a full backlog."""
API_PORTS = (80, 443)
"""Of Google's APIs inside the networks."""
_INSIDE = 200
"""Connections at a time from inside each network, by each port."""
_OF_ONE_CALLER = 40
"""Of these, from one address."""
_PATIENCE = 30.0
log = logging.getLogger("testbed.api")


class Server:
    """Serves a control plane as long as the context lasts."""

    def __init__(self, plane: ControlPlane, images: ImageCatalog, *, port: int = PORT) -> None:
        self._plane = plane
        self._images = images
        self._preferred = port
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._stack = ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.port = 0
        """Where it listens, on 127.0.0.1."""

    def __enter__(self) -> Self:
        """Begin to serve.

        Raises:
            Unavailable: no port is free, or a socket cannot be made.
        """
        listener = listen(self._preferred, avoid=ports_of_others(self._plane.store.name))
        self.port = listener.getsockname()[1]
        self._stack.enter_context(listener)
        self._listener = listener
        self._thread.start()
        try:
            self._started.result(_PATIENCE)
        except BaseException:
            self._stack.close()
            raise
        self._plane.store.port = self.port
        log.info("the API is at http://127.0.0.1:%d", self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving; calls that are being answered get a moment."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE)
        self._stack.close()

    def handlers(self) -> Mapping[str, Handler]:
        """What it does for commands."""
        return KeyCommands(self._plane).handlers()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # a boundary: a thread that waits for this one's beginning has to be told of its end
            if self._started.done():
                log.exception("the API has ended")
            else:
                self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        store = self._plane.store
        folder = store.folder
        short = within_reach(folder, self._stack)
        rest_socket, grpc_socket = short / "rest.sock", short / "grpc.sock"
        with SqliteKeys.open(folder / KEYS) as keys, Callers.open(self._plane.store.name) as callers:
            identity = Identity(keys, owner_token(store.name, store.id))
            services.register_all()
            dispatcher = Dispatcher(self._plane, self._images, AuditLog(folder), identity)
            uploads = Uploads(folder / FOLDER, self._plane, identity)

            def principal(header: str | None) -> str:
                return identity.principal(header, time.time())

            rest = _Rest(
                uvicorn.Config(
                    Rest(dispatcher, principal, uploads),
                    fd=_listening(rest_socket, self._stack).fileno(),
                    http="h11",
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    interface="asgi3",
                    timeout_graceful_shutdown=int(_GRACE),
                    h11_max_incomplete_event_size=1 << 16,
                )
            )
            rpc = grpc.aio.server()
            rpc.add_generic_rpc_handlers((Bridge(dispatcher, principal),))
            rpc.add_insecure_port(f"unix:{_free(grpc_socket)}")
            await rpc.start()
            files = certificates.ensure(folder, self._plane.store.name)
            public = client_folder(self._plane.store.name)
            public.mkdir(mode=0o755, parents=True, exist_ok=True)
            certificates.bundle(files, public)
            tls = certificates.server_context(files)
            door = Door(rest_socket, grpc_socket, tls, is_served, grace=_GRACE)

            async def offered(segment: str, listener: socket.socket) -> None:
                hosted = None if segment == INTERNET else partial(internal_requests.opened, self._plane, segment)
                await Door(
                    rest_socket,
                    grpc_socket,
                    tls,
                    lambda _: False,
                    hosted=hosted,
                    connections=_INSIDE,
                    of_one_caller=_OF_ONE_CALLER,
                    grace=_GRACE,
                ).serve(listener)

            apis = Inside(self._plane, Offer(_with_apis, offered, API_PORTS))
            metadata = Inside(self._plane, Metadata(callers, identity).offer)
            serving = asyncio.create_task(rest.serve())
            reached = asyncio.create_task(door.serve(self._listener))
            inside = [asyncio.create_task(one.keep()) for one in (apis, metadata)]
            try:
                await _either(rest.ready, serving, reached, *inside)
                self._started.set_result(None)
                await _either(self._stop, serving, reached, *inside)
            finally:
                for task in (reached, *inside):
                    task.cancel()
                rest.should_exit = True
                await asyncio.gather(serving, reached, *inside, return_exceptions=True)
                await rpc.stop(_GRACE)
                await self._loop.shutdown_default_executor()  # what was cancelled may read the files in threads still


def _with_apis(running: Running) -> tuple[str, ...]:
    """The names of the segments that have Google's APIs: the internet, and the edges of networks."""
    return (INTERNET, *running.allocations.edges())


async def _either(event: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Until an event has come.

    Raises:
        Unavailable: one of the tasks, which should not end before, has ended.
        Exception: by which it has.
    """
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not event.is_set():
        for task in tasks:
            if task.done():
                task.result()
        raise Unavailable("API server: it has ended by itself")


class _Rest(uvicorn.Server):
    """A server that says when it takes requests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.ready.set()


def _free(path: Path) -> Path:
    """A path for a socket, at which a server that was killed may have left its own."""
    path.unlink(missing_ok=True)
    return path


def _listening(path: Path, stack: ExitStack) -> socket.socket:
    made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    made.bind(str(_free(path)))
    made.listen(_BACKLOG)
    return made
