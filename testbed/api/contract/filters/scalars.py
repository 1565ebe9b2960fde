"""What the texts of a filter and the strings of a resource mean: numbers, timestamps and durations (AIP-160)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

Instant = tuple[int, int]
"""Seconds since 1970 and nanoseconds: `datetime` would drop the last three digits of a `google.protobuf.Timestamp`."""

_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?", re.ASCII)
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,19})", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive on purpose: an offset may lead out of the years that datetime has


def number(text: str) -> int | float | None:
    """The number that a text is: "the standard integer or float representations", exponents too (AIP-160)."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def whole(text: str) -> int | None:
    """The 64-bit integer that a string of a resource is: JSON has them as strings (ProtoJSON); "007" is a name."""
    return int(text) if _WHOLE.fullmatch(text) else None


def duration(text: str) -> int | None:
    """The nanoseconds of "a numeric representation followed by an `s` suffix", as `1.2s` (AIP-160)."""
    found = _DURATION.fullmatch(text)
    if not found:
        return None
    size = int(found[2]) * 10**9 + int((found[3] or "").ljust(9, "0"))
    return -size if found[1] else size


def instant(text: str) -> Instant | None:
    """The moment that an RFC 3339 text names, whatever its UTC offset; None if there is no such day or time."""
    found = _TIMESTAMP.fullmatch(text)
    if not found:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}")
    except ValueError:
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if found[4]:
        offset = int(found[5]) * 3600 + int(found[6]) * 60
        seconds += offset if found[4] == "-" else -offset
    return seconds, int((found[3] or "").ljust(9, "0"))
