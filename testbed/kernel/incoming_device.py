"""By which device a TCP connection came in: the one of the packet that completed the handshake (ip(7), tcp(7)).

A source address can be chosen, a device cannot.
"""

from __future__ import annotations

import fcntl
import socket
import struct

_IP_PKTINFO, _IP_PKTOPTIONS = 8, 9
_SIOCGIFNAME = 0x8910
_HEADER = struct.Struct("@Nii")
"""`struct cmsghdr`; `struct in_pktinfo` follows, which begins with the index of the device."""
_INDEX = struct.Struct("@i")
_REQUEST = struct.Struct("@16si20x")
"""`struct ifreq`."""


def remember(listener: socket.socket) -> None:
    """Let connections that will be accepted know it."""
    listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def device(connection: socket.socket) -> str | None:
    """The name of the device; None if it is gone."""
    told = connection.getsockopt(socket.IPPROTO_IP, _IP_PKTOPTIONS, 64)
    if len(told) < _HEADER.size + _INDEX.size:
        return None
    (index,) = _INDEX.unpack_from(told, _HEADER.size)
    try:
        answer = fcntl.ioctl(connection, _SIOCGIFNAME, _REQUEST.pack(b"", index))
    except OSError:
        return None
    return answer[:16].partition(b"\0")[0].decode()
