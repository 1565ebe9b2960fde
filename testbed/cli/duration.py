"""How long something is to take, as a person writes it: `90s`, `20m`, `1h30m`, `2d`; a bare number is seconds."""

from __future__ import annotations

import re

from testbed.errors import InvalidArgument

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TEXT = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([dhms])")


def seconds(text: str) -> float:
    """The seconds of a duration.

    Raises:
        InvalidArgument: it is none.
    """
    if text.isascii() and text.isdecimal():
        return float(text)
    if not _TEXT.fullmatch(text):
        raise InvalidArgument(f"duration {text!r}: is not a duration", hint="write it like 90s, 20m, 1h30m or 2d")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def words(value: float) -> str:
    """Seconds as a duration: `1h30m`."""
    left, parts = round(value), list[str]()
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
