"""The port that the control plane is reached by: on loopback, unless somebody says otherwise in so many words."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address

from testbed.api.frontdoor.protocol import readable
from testbed.errors import InvalidArgument, Unavailable

_log = logging.getLogger(__name__)

TRIES = 100
"""Ports that are tried, from the preferred one on."""
BACKLOG = 1024
_PER_CONNECTION = 3
"""Descriptors: the client's socket, the door's to a back end, and the back end's, if that runs in this process."""
_OTHERS = 200
_LAST_PORT = 65535
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 1.0
"""Seconds until the next connection is taken after the machine had no room for one."""


def listen(
    preferred: int, host: str = "127.0.0.1", *, exposed: bool = False, avoid: Collection[int] = ()
) -> socket.socket:
    """Listen on TCP port `preferred`, or the first free one of the hundred from there; 0 is any free one.

    Ports to `avoid` belong to others, although nobody may listen there now.

    The control plane believes every caller that reaches it, so an address (`host` is one) that other machines can reach
    must be asked for by `exposed`.

    Raises:
        InvalidArgument: if the address is none, or not a loopback one and not `exposed`, or there is no such port.
        Unavailable: if no port is free or permitted.
    """
    try:
        address = ip_address(host)
    except ValueError as error:
        raise InvalidArgument(f"address {host!r}: it is not an IP address") from error
    if not address.is_loopback and not exposed:
        raise InvalidArgument(
            f"address {host}: other machines can reach it, and the control plane asks for no password"
        )
    if not 0 <= preferred <= _LAST_PORT:
        raise InvalidArgument(f"port {preferred}: ports are 1 to {_LAST_PORT}, or 0 for any free one")
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    last = min(preferred + TRIES - 1, _LAST_PORT) if preferred else 0
    for port in (one for one in range(preferred, last + 1) if one not in avoid):
        try:
            return _listen(family, host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Unavailable(f"port {port} of {host}: cannot be listened on: {error.strerror}") from error
    raise Unavailable(f"ports {preferred} to {last} of {host}: none is free", hint="name another port")


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a predecessor may linger
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener


async def accept(listener: socket.socket) -> socket.socket:
    """The next connection; waits while the machine has no room for one.

    Raises:
        OSError: if the listener is broken.
    """
    while True:
        await readable(listener)
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionError):  # the client has gone again
            continue
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            _log.warning("no connection can be taken: %s", error.strerror)
            await asyncio.sleep(_PAUSE)
        else:
            sock.settimeout(0)
            return sock


def room_for(connections: int) -> int:
    """Raise this process's limit of open files so far that it can have this many connections; how many it can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * _PER_CONNECTION + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(connections, (soft - _OTHERS) // _PER_CONNECTION))
    return connections
