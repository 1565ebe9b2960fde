"""The kernel's log of packets (NFLOG), read from a netlink socket: linux/netfilter/nfnetlink_log.h.

A socket belongs to the namespace that it was opened in, and takes the notes of one group of that namespace.  The kernel
keeps what has not been read up to the size of the socket's buffer; what does not fit is lost, and no packet waits.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from testbed.errors import Internal, Unimplemented
from testbed.kernel import attributes
from testbed.kernel.namespace import socket_in

_NETFILTER = 12
"""NETLINK_NETFILTER"""
_PACKET, _CONFIGURE = 4 << 8, 4 << 8 | 1
"""NFNL_SUBSYS_ULOG with NFULNL_MSG_PACKET and NFULNL_MSG_CONFIG."""
_REQUEST, _ACK = 1, 4
_ERROR = 2
_COMMAND, _MODE, _TIMEOUT, _THRESHOLD = 1, 2, 4, 5
"""NFULA_CFG_*"""
_BIND, _COPY_PACKET = 1, 2
_TIMESTAMP, _PAYLOAD, _PREFIX = 3, 9, 10
"""NFULA_*"""
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("!BBH")
_TCP, _UDP = 6, 17
_BUFFER = 4 << 20
_LARGEST = 1 << 17
_SOON = 10
"""Hundredths of a second after which the kernel hands over what it has."""
_MANY = 64
"""Notes that it hands over at once."""
SO_RCVBUFFORCE = 33


@dataclass(frozen=True, slots=True)
class Note:
    """What a rule has noted of a packet over IPv4."""

    prefix: str
    time: float | None
    """When the packet was received, in seconds since 1970, if the kernel knows."""
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    """0 for protocols other than TCP and UDP."""


def listen(path: str, group: int) -> socket.socket:
    """A socket that takes the notes of a group in a namespace; it does not block.

    Raises:
        Unimplemented: this kernel has no NFLOG.
        Internal: the kernel refused, as it does while somebody else listens to the group.
        TestbedError: as `namespace.inside`.
    """
    try:
        made = socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    except OSError as error:
        raise Unimplemented(f"this kernel: it has no netlink for netfilter: {error.strerror}") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        made.bind((0, 0))
        for value in (
            attributes.pack(_COMMAND, struct.pack("B", _BIND)),
            attributes.pack(_MODE, struct.pack("!IBx", 0xFFFF, _COPY_PACKET)),
            attributes.pack(_TIMEOUT, struct.pack("!I", _SOON)) + attributes.pack(_THRESHOLD, struct.pack("!I", _MANY)),
        ):
            made.send(_message(group, value))
            _acknowledged(made)
    except BaseException:
        made.close()
        raise
    made.settimeout(0)
    return made


def read(listener: socket.socket) -> Iterator[Note]:
    """The notes that there are now."""
    while True:
        try:
            data = listener.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # some were lost
                raise
            continue
        yield from parse(data)


def parse(data: bytes) -> Iterator[Note]:
    """The notes in what was received at once.  What is no packet over IPv4, or is cut off, is passed over."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        if kind == _PACKET:
            found = dict(attributes.unpack(data[offset + _HEADER.size + _FAMILY.size : offset + length]))
            with suppress(struct.error, KeyError, ValueError, IndexError):
                yield _note(found)
        offset += length + 3 & ~3


def _note(attributes: dict[int, bytes]) -> Note:
    payload = attributes[_PAYLOAD]
    if payload[0] >> 4 != 4:
        raise ValueError("not IPv4")
    protocol, head = payload[9], (payload[0] & 15) * 4
    ports = struct.unpack_from("!HH", payload, head) if protocol in {_TCP, _UDP} else (0, 0)
    time = None
    if _TIMESTAMP in attributes:
        seconds, micros = struct.unpack("!QQ", attributes[_TIMESTAMP])
        time = seconds + micros / 1e6
    prefix = attributes[_PREFIX].rstrip(b"\0").decode()
    ends = (str(IPv4Address(payload[12:16])), str(IPv4Address(payload[16:20])))
    return Note(prefix, time, *ends, protocol, *ports)


def _message(group: int, attributes: bytes) -> bytes:
    body = _FAMILY.pack(socket.AF_UNSPEC, 0, group) + attributes
    return _HEADER.pack(_HEADER.size + len(body), _CONFIGURE, _REQUEST | _ACK, 0, 0) + body


def _acknowledged(made: socket.socket) -> None:
    answer = made.recv(_LARGEST)
    _, kind, *_ = _HEADER.unpack_from(answer)
    number = -struct.unpack_from("=i", answer, _HEADER.size)[0] if kind == _ERROR else 0
    if number in {errno.EINVAL, errno.EOPNOTSUPP}:
        raise Unimplemented(f"this kernel: it has no NFLOG: {os.strerror(number)}")
    if number:
        raise Internal(f"netfilter log: {os.strerror(number)}")
