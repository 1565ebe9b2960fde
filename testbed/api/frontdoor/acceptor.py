"""Takes connections from a listener, a task for each, so many at a time and so many of one caller."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

from testbed.api.frontdoor.listener import accept, room_for

_log = logging.getLogger("testbed.api")


async def serve(
    listener: socket.socket,
    answer: Callable[[socket.socket], Awaitable[None]],
    *,
    connections: int,
    grace: float,
    of_one_caller: int | None = None,
) -> None:
    """Serve until cancelled; then close the listener, and the connections as they end or when the grace has.

    At most `connections` are served at a time, the next ones wait; `grace` is in seconds.  Of one address, at most
    `of_one_caller` are served; more are closed at once, so that no caller takes the room of all others.  This process's
    limit of open files is raised as far as the connections need it.

    Raises:
        OSError: if the listener breaks.
    """
    room = asyncio.Semaphore(room_for(connections))
    serving: set[asyncio.Task[None]] = set()
    callers: Counter[str] = Counter()

    def start(sock: socket.socket) -> None:
        caller = _caller(sock)
        if of_one_caller is not None and callers[caller] >= of_one_caller:
            sock.close()
            room.release()
            return
        callers[caller] += 1

        def end(task: asyncio.Task[None]) -> None:
            serving.discard(task)
            callers.subtract({caller: 1})
            if not callers[caller]:
                del callers[caller]
            sock.close()  # here, as a task that is cancelled before it starts closes nothing
            room.release()
            if not task.cancelled() and (defect := task.exception()):
                _log.error("a connection ended by a defect of the server", exc_info=defect)

        task = asyncio.create_task(_alone(answer, sock))
        serving.add(task)
        task.add_done_callback(end)

    try:
        while True:
            await room.acquire()
            start(await accept(listener))
    finally:
        listener.close()
        await _end(serving, grace)


def _caller(sock: socket.socket) -> str:
    """The address that a connection comes from; none if it has ended already."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""


async def _alone(answer: Callable[[socket.socket], Awaitable[None]], sock: socket.socket) -> None:
    """One connection, from its first byte to its end; no error of it is anyone else's."""
    try:
        await answer(sock)
    except* OSError as errors:  # of either end, TLS, or a deadline
        _log.debug("a connection ended: %s", "; ".join(map(repr, _leaves(errors))))


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
