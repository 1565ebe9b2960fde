"""The attributes of netlink(7): a length and a type before each value, each filled up to a multiple of four bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD = struct.Struct("=HH")
_TYPE = 0x3FFF
"""The bits of a type; the others are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER)."""


def pack(kind: int, value: bytes) -> bytes:
    """An attribute of a type."""
    return _HEAD.pack(_HEAD.size + len(value), kind) + value + bytes(-len(value) % 4)


def unpack(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute, up to the end of the data or to what is none."""
    offset = 0
    while offset + _HEAD.size <= len(data):
        length, kind = _HEAD.unpack_from(data, offset)
        if length < _HEAD.size:
            return
        yield kind & _TYPE, data[offset + _HEAD.size : offset + length]
        offset += length + 3 & ~3
