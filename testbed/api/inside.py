"""Serves the APIs inside the networks, at the addresses of Google's APIs (behaviour 4.8).

The control plane's process is in the host's namespace, but a socket belongs to the namespace that it was made in.  So a
door listens on ports 80 and 443 in the edge of each network, and in the internet segment; which packets get there is up
to the network.  It is the same door as on loopback, but that it is nobody's proxy.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from testbed.api.door import Door
from testbed.api.listener import BACKLOG
from testbed.control.plane import ControlPlane
from testbed.errors import TestbedError
from testbed.fabric.given_names import edges
from testbed.kernel import namespace
from testbed.model.names import INTERNET

PORTS = (80, 443)
_LOOK = 0.5
"""Seconds between two looks at which networks there are."""
_log = logging.getLogger("testbed.api")

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """A namespace that is served."""

    identity: Identity
    tasks: tuple[asyncio.Task[None], ...]


class Inside:
    """Keeps a door open in each network of a testbed."""

    def __init__(self, plane: ControlPlane, door: Door) -> None:
        self._plane = plane
        self._door = door
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

    def _wanted(self) -> dict[str, Identity]:
        """The namespaces to be served that are there, by path."""
        found: dict[str, Identity] = {}
        for name in (INTERNET, *edges(self._plane.running.addresses)):
            path = namespace.segment(self._plane.store.name, name)
            if (identity := namespace.identity(path)) is not None:
                found[path] = identity
        return found

    async def _follow(self, wanted: dict[str, Identity]) -> None:
        for path, place in [*self._places.items()]:
            if wanted.get(path) != place.identity or any(task.done() for task in place.tasks):
                del self._places[path]
                for task in place.tasks:
                    task.cancel()
                await asyncio.gather(*place.tasks, return_exceptions=True)
        for path, identity in wanted.items():
            if path not in self._places:
                listeners = await asyncio.to_thread(_listen, path)
                tasks = tuple(asyncio.create_task(self._door.serve(listener)) for listener in listeners)
                self._places[path] = _Place(identity, tasks)


def _listen(path: str) -> list[socket.socket]:
    """Listen inside a namespace, on all of its addresses: its firewall says which of them, and for whom.

    Raises:
        OSError: a socket cannot be made.
        TestbedError: there is no such namespace.
    """
    with ExitStack() as stack:
        made = [stack.enter_context(namespace.socket_in(path, socket.AF_INET, socket.SOCK_STREAM)) for _ in PORTS]
        for listener, port in zip(made, PORTS, strict=True):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", port))
            listener.listen(BACKLOG)
            listener.settimeout(0)
        stack.pop_all()
    return made
