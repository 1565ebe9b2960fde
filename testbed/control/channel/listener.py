"""Serves the controller's socket: a thread for each connection, so many at a time, for those who may ask."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from testbed import __version__
from testbed.control.channel import protocol
from testbed.control.state.progress import Progress
from testbed.errors import Internal, InvalidArgument, PermissionDenied, ResourceExhausted, TestbedError
from testbed.foreign_errors import translated
from testbed.json_object import Json

log = logging.getLogger("testbed.controller")

CONNECTIONS = 64
"""Requests at a time; more are refused."""
GRACE = 5.0
"""Seconds that a request may take to end, when the controller ends."""
_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user and group of the other side."""


@dataclass(slots=True)
class Request:
    """What a client asks for, and how it is told of the work."""

    arguments: Json
    user: int
    """The id of the user who asks."""
    report: Callable[[Progress], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    """The client wants it to end."""
    gone: threading.Event = field(default_factory=threading.Event)
    """The client is not there any more."""


Handler = Callable[[Request], Json]
"""Does what a request asks for, in a thread of its own; raises TestbedError."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is served, and to whom."""

    handlers: Mapping[str, Handler]
    """By the names of commands."""
    owner: int
    """The id of the user who may ask, beside root."""
    room: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(CONNECTIONS))
    open: dict[threading.Thread, Request] = field(default_factory=dict)
    """The requests that are being answered, by their threads."""

    def end(self) -> None:
        """Cancel what is under way, and let those who asked be told."""
        for thread, request in list(self.open.items()):
            request.cancelled.set()
            thread.join(GRACE)


@contextmanager
def listening(folder: Path, service: Service) -> Iterator[None]:
    """Serve the socket of the testbed that has this folder as long as the context lasts."""
    with ExitStack() as stack:
        path = protocol.within_reach(folder, stack) / protocol.SOCKET
        path.unlink(missing_ok=True)  # a controller that was killed leaves its own
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(path))
        path.chmod(0o600)
        os.chown(path, service.owner, -1)
        if service.owner:
            folder.chmod(0o711)  # all else that is in it is closed to others
        listener.listen(CONNECTIONS)
        thread = threading.Thread(target=_accept, args=(listener, service), name="control")
        thread.start()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            thread.join()
            service.end()


def _accept(listener: socket.socket, service: Service) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # it is closed
            return
        threading.Thread(target=_converse, args=(connection, service), name="control request", daemon=True).start()


def _converse(connection: socket.socket, service: Service) -> None:
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    taken = service.room.acquire(blocking=False)
    try:
        with connection, suppress(OSError), connection.makefile("rwb") as file:
            stream = cast(BinaryIO, file)
            if user not in (0, service.owner):
                protocol.send(stream, protocol.of_error(PermissionDenied("testbed: it belongs to another user")))
            elif not taken:
                refusal = ResourceExhausted(f"controller: it already has {CONNECTIONS} requests at a time; try again")
                protocol.send(stream, protocol.of_error(refusal))
            else:
                protocol.send(stream, {"protocol": protocol.PROTOCOL, "version": __version__})
                _serve(connection, stream, user, service)
    finally:
        if taken:
            service.room.release()


def _serve(connection: socket.socket, stream: BinaryIO, user: int, service: Service) -> None:
    try:
        asked = protocol.receive(stream)
    except InvalidArgument as error:
        protocol.send(stream, protocol.of_error(error))
        return
    if asked is not None:
        _answer(connection, stream, asked, user, service)


def _answer(connection: socket.socket, stream: BinaryIO, asked: Json, user: int, service: Service) -> None:
    """Answer a request, and hear what its client says meanwhile."""
    writing = threading.Lock()

    def tell(message: Json) -> None:
        with suppress(OSError, ValueError), writing:  # who is not there any more need not be told
            protocol.send(stream, message)

    request = Request(asked.get("arguments") or {}, user, lambda step: tell(protocol.of_progress(step)))
    hearing = threading.Thread(target=_hear, args=(stream, request), name="control hearing", daemon=True)
    hearing.start()
    service.open[threading.current_thread()] = request
    try:
        tell({"result": _handler(service.handlers, asked)(request)})
    except Exception as error:  # a boundary: the client is told, whatever it is
        known = translated(error)
        if known is not error and isinstance(known, Internal):
            log.exception("a request on the control socket")
        tell(protocol.of_error(known))
    finally:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RD)  # wakes the thread that hears
        hearing.join()
        del service.open[threading.current_thread()]


def _handler(handlers: Mapping[str, Handler], asked: Json) -> Handler:
    found = handlers.get(str(asked.get("command")))
    if found is None:
        raise InvalidArgument(f"controller: it has no command {asked.get('command')!r}")
    return found


def _hear(stream: BinaryIO, request: Request) -> None:
    """Take note of what a client says while its request is under way, until it is gone."""
    with suppress(OSError, TestbedError):
        while (message := protocol.receive(stream)) is not None:
            if message.get("cancel"):
                request.cancelled.set()
    request.gone.set()
