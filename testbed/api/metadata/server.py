"""Serves the metadata server's address in the namespaces of a testbed (`Inside`)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from urllib.parse import unquote

from testbed.api.callers.identity import Identity
from testbed.api.frontdoor import acceptor
from testbed.api.frontdoor.namespace_listeners import Offer
from testbed.api.metadata import answers, entries
from testbed.api.metadata.accounts import Accounts
from testbed.api.metadata.callers import Caller, Callers, Origin, segments
from testbed.api.metadata.tree import Made
from testbed.api.metadata.wire import MetadataRequest, Reply, converse
from testbed.errors import TestbedError
from testbed.fabric.link_local import PORT
from testbed.kernel import incoming_device
from testbed.model.core.ranges import METADATA_SERVER

_CONNECTIONS = 500
"""At a time, in each namespace."""
_OF_ONE = 32
"""Of those, the ones that a NIC may have: nobody keeps the others from theirs."""
_PATIENCE = 20.0
_GRACE = 0.2
_LOOK = 0.25
"""Seconds between two looks at what somebody waits to see changed."""
LONGEST_WAIT = 3600.0
"""Seconds that a client may wait for a change; Google's may wait for ever."""
_log = logging.getLogger("testbed.api")


class Metadata:
    """The metadata server of one testbed."""

    def __init__(self, callers: Callers, identity: Identity) -> None:
        self._callers = callers
        self._accounts = Accounts(identity)
        self._open: Counter[tuple[str, str]] = Counter()
        """Connections by segment and device."""
        self.offer = Offer(segments, self._serve, (PORT,), str(METADATA_SERVER))

    async def _serve(self, segment: str, listener: socket.socket) -> None:
        async def answer(sock: socket.socket) -> None:
            device = incoming_device.device(sock)
            if device is None:
                return
            origin = Origin(segment, device, sock.getpeername()[0])
            self._open[segment, device] += 1
            try:
                await self._converse(sock, origin, busy=self._open[segment, device] > _OF_ONE)
            finally:
                self._open[segment, device] -= 1

        await acceptor.serve(listener, answer, connections=_CONNECTIONS, grace=_GRACE)

    async def _converse(self, sock: socket.socket, origin: Origin, *, busy: bool) -> None:
        async def answer(request: MetadataRequest) -> Reply:
            if busy:
                return answers.page(503, "Too many connections at a time.")
            try:
                return await self._answer(request, origin)
            except TestbedError as error:
                _log.warning("metadata for %s in %s: %s", origin.address, origin.segment, error)
                return answers.page(503, "The metadata server is not available.")

        await converse(sock, answer, answers.malformed, _PATIENCE)

    async def _answer(self, request: MetadataRequest, origin: Origin) -> Reply:
        if refused := answers.refusal(request):
            return refused
        found = await asyncio.to_thread(self._found, request, origin)
        query = answers.query_of(request)
        if query.get("wait_for_change", "").lower() != "true" or found.status != 200 or "ETag" not in found.headers:
            return found
        last = query.get("last_etag") or found.headers["ETag"]
        loop = asyncio.get_running_loop()
        end = loop.time() + _seconds(query.get("timeout_sec", ""))
        while found.headers.get("ETag") == last and loop.time() < end and not request.gone():
            await asyncio.sleep(min(_LOOK, max(0.0, end - loop.time())))
            found = await asyncio.to_thread(self._found, request, origin)
        return found

    def _found(self, request: MetadataRequest, origin: Origin) -> Reply:
        caller = self._callers.find(origin)
        if caller is None:
            return answers.unknown(request)
        found = answers.looked_up(request, entries.tree(caller))
        if isinstance(found, Made):
            return self._made(found, caller, request)
        return found

    def _made(self, made: Made, caller: Caller, request: MetadataRequest) -> Reply:
        """What is made for the account whose directory it was found in: `.../service-accounts/EMAIL/token`."""
        given = unquote(answers.path_of(request).split("/")[-2])
        email = next(iter(entries.accounts(caller))) if given == "default" else given
        return self._accounts.made(made, email, caller, answers.query_of(request))


def _seconds(given: str) -> float:
    """How long a client wants to wait, in seconds."""
    try:
        return min(LONGEST_WAIT, max(0.0, float(int(given))))
    except ValueError:
        return LONGEST_WAIT
