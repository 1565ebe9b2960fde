"""Zones and views as plain values.  All names are fully qualified, with a dot at their end, and in lower case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ROOT = "."
TTL = 300
"""Seconds, of records that nobody has given a time to (our choice)."""


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The records of one name and type."""

    name: str
    type: str
    data: tuple[str, ...]
    """As in a zone file (RFC 1035, section 5), each on one line."""
    ttl: int = TTL


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that the server answers for itself.  It is given its SOA and NS when it is written."""

    name: str
    records: tuple[RecordSet, ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A zone whose names other servers are asked for."""

    name: str
    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What is answered at some addresses of the server, and the address that others are asked from."""

    name: str
    addresses: tuple[str, ...]
    zones: tuple[Zone, ...]
    forwarded: tuple[Forwarded, ...] = ()


def within(name: str, zone: str) -> bool:
    """Whether a name is a zone's own name, or below it."""
    return zone in (ROOT, name) or name.endswith(f".{zone}")


def closest(name: str, zones: Iterable[str]) -> str | None:
    """The zone that answers for a name: of those that it is in, the one with the longest name."""
    return max((zone for zone in zones if within(name, zone)), key=len, default=None)
