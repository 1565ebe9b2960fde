"""The kernel's notes of packets, as they come over netlink."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from testbed.kernel.nflog import Note, parse


def attribute(kind: int, value: bytes) -> bytes:
    data = struct.pack("=HH", 4 + len(value), kind) + value
    return data + bytes(-len(data) % 4)


def message(*attributes: bytes, kind: int = 4 << 8) -> bytes:
    body = struct.pack("!BBH", 2, 0, 1) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def packet(protocol: int, rest: bytes, options: bytes = b"") -> bytes:
    head = struct.pack("!BBHHHBBH", 0x40 | 5 + len(options) // 4, 0, 0, 0, 0, 64, protocol, 0)
    return head + bytes([10, 0, 0, 2, 10, 0, 0, 3]) + options + rest


PREFIX = attribute(10, b"allow-web\0")
TCP = attribute(9, packet(6, struct.pack("!HH", 40000, 80)))


def test_a_note() -> None:
    time = attribute(3, struct.pack("!QQ", 1_700_000_000, 250_000))
    assert [*parse(message(PREFIX, time, TCP))] == [
        Note("allow-web", 1_700_000_000.25, "10.0.0.2", "10.0.0.3", 6, 40000, 80)
    ]


def test_several_at_once_among_others() -> None:
    udp = attribute(9, packet(17, struct.pack("!HH", 5000, 53), options=bytes(8)))
    esp = attribute(9, packet(50, b""))
    other = message(kind=2)
    found = [*parse(message(PREFIX, TCP) + other + message(PREFIX, udp) + message(PREFIX, esp))]
    assert [(note.protocol, note.source_port, note.destination_port) for note in found] == [
        (6, 40000, 80),
        (17, 5000, 53),
        (50, 0, 0),
    ]
    assert {note.time for note in found} == {None}


def test_what_is_cut_off_or_no_ipv4_is_passed_over() -> None:
    short = attribute(9, packet(6, b"\0"))
    six = attribute(9, b"\x60" + bytes(47))
    assert [*parse(message(PREFIX, short) + message(PREFIX, six) + message(PREFIX) + message(TCP))] == []
    assert len([*parse(message(PREFIX, TCP) + message(PREFIX, TCP)[:20])]) == 1


@given(st.binary(max_size=200))
def test_nothing_that_comes_is_an_error(data: bytes) -> None:
    [*parse(data)]
    [*parse(message(attribute(9, data), PREFIX))]
