"""What stands for characters in a pattern: `[...]` and what follows a backslash (RE2's syntax)."""

from __future__ import annotations

import re

from testbed.api.contract.filters.charsets import PERL, POSIX, CharSet, PatternError, Ranges, others

_HEX = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_POSIX = re.compile(r"\[:(\^?)(\w+):\]", re.ASCII)
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def escape(text: str, at: int) -> tuple[Ranges, int]:
    """What is meant after a backslash, which stands before `at`, and where it ends. Raises PatternError."""
    char = text[at : at + 1]
    if found := _HEX.match(text, at):
        code = int(found[1] or found[2], 16)
        if code > 0x10FFFF:
            raise PatternError("the pattern names a character that does not exist")
        return ((chr(code), chr(code)),), found.end()
    if char in PERL:
        return PERL[char], at + 1
    if not char or not char.isascii() or (char.isalnum() and char not in _CONTROLS):
        raise PatternError(f"the pattern has an unknown escape \\{char}")
    char = _CONTROLS.get(char, char)
    return ((char, char),), at + 1


def char_class(text: str, at: int, *, folded: bool) -> tuple[CharSet, int]:
    """The characters between brackets, the first of which stands before `at`, and where it ends.

    A `]` right after the opening stands for itself, and so does a `-` at either end. Raises PatternError.
    """
    negated = text.startswith("^", at)
    at += negated
    ranges, first = list[tuple[str, str]](), at
    while at == first or not text.startswith("]", at):
        found, at = _item(text, at)
        if _is_single(found) and re.compile(r"-[^\]]").match(text, at):
            end, at = _item(text, at + 1)
            if not _is_single(end) or end[0][0] < found[0][0]:
                raise PatternError("the pattern has a bad range of characters")
            found = ((found[0][0], end[0][0]),)
        ranges += found
    return CharSet(tuple(ranges), negated=negated, folded=folded), at + 1


def _item(text: str, at: int) -> tuple[Ranges, int]:
    if found := _POSIX.match(text, at):
        if found[2] not in POSIX:
            raise PatternError(f"the pattern has an unknown class {found[0]}")
        ranges = POSIX[found[2]]
        return others(ranges) if found[1] else ranges, found.end()
    char = text[at : at + 1]
    if not char:
        raise PatternError("the pattern has a class that is not closed")
    return escape(text, at + 1) if char == "\\" else (((char, char),), at + 1)


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]
