"""Serves inside the networks: Google's APIs (behaviour 4.8) and the metadata server (4.7.1), at their addresses.

The control plane's process is in the host's namespace, but a socket belongs to the namespace that it was made in.  So
it listens in namespaces of the testbed; which packets get to a socket there is up to the network.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from testbed.api.frontdoor.listener import BACKLOG
from testbed.control.accept.plane import ControlPlane
from testbed.errors import TestbedError
from testbed.fabric.allocation.running import Running
from testbed.kernel import incoming_device, namespace

_LOOK = 0.5
"""Seconds between two looks at which namespaces there are."""
_log = logging.getLogger("testbed.api")

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """What is served, and where."""

    segments: Callable[[Running], Iterable[str]]
    """The names of the segments that have it."""
    serve: Callable[[str, socket.socket], Coroutine[None, None, None]]
    """Serves what comes to a socket that listens in a segment, until it is cancelled."""
    ports: tuple[int, ...]
    address: str = ""
    """All of a segment's if it is empty: its firewall says which of them, and for whom."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A namespace that is served."""

    identity: Identity
    tasks: tuple[asyncio.Task[None], ...]


class Inside:
    """Keeps an offer open in the namespaces of a testbed."""

    def __init__(self, plane: ControlPlane, offer: Offer) -> None:
        self._plane = plane
        self._offer = offer
        self._places: dict[str, _Place] = {}

    async def keep(self) -> None:
        """Until cancelled.

        A socket keeps its namespace alive, so it is closed soon after the namespace has lost its name.
        """
        said = ""
        try:
            while True:
                try:
                    wanted = await asyncio.to_thread(self._wanted)
                    await self._follow(wanted)
                    said = ""
                except (TestbedError, OSError) as error:  # the testbed is being made or unmade; the next look will tell
                    if (text := str(error)) != said:
                        _log.debug("not served inside: %s", text)
                    said = text
                await asyncio.sleep(_LOOK)
        finally:
            await self._follow({})

    def _wanted(self) -> dict[str, tuple[str, Identity]]:
        """The namespaces to be served that are there: by their paths, what the segments are called."""
        found: dict[str, tuple[str, Identity]] = {}
        for name in self._offer.segments(self._plane.running):
            path = namespace.segment(self._plane.store.name, name)
            if (identity := namespace.identity(path)) is not None:
                found[path] = name, identity
        return found

    async def _follow(self, wanted: dict[str, tuple[str, Identity]]) -> None:
        for path, place in [*self._places.items()]:
            gone = path not in wanted or wanted[path][1] != place.identity
            if gone or any(task.done() for task in place.tasks):
                del self._places[path]
                for task in place.tasks:
                    task.cancel()
                await asyncio.gather(*place.tasks, return_exceptions=True)
        for path, (name, identity) in wanted.items():
            if path not in self._places:
                listeners = await asyncio.to_thread(partial(_listen, path, self._offer))
                tasks = tuple(asyncio.create_task(self._offer.serve(name, one)) for one in listeners)
                self._places[path] = _Place(identity, tasks)


def _listen(path: str, offer: Offer) -> list[socket.socket]:
    """Listen inside a namespace.

    Raises:
        OSError: a socket cannot be made, or the namespace does not have the address (yet).
        TestbedError: there is no such namespace.
    """
    with ExitStack() as stack:
        kind = socket.AF_INET, socket.SOCK_STREAM
        made = [stack.enter_context(namespace.socket_in(path, *kind)) for _ in offer.ports]
        for listener, port in zip(made, offer.ports, strict=True):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            incoming_device.remember(listener)
            listener.bind((offer.address, port))
            listener.listen(BACKLOG)
            listener.settimeout(0)
        stack.pop_all()
    return made
