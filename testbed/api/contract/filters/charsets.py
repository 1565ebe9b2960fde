"""The sets of characters that a pattern names: single ones, ranges, Perl's and POSIX's classes, as RE2 has them."""

from __future__ import annotations

from dataclasses import dataclass

Ranges = tuple[tuple[str, str], ...]


class PatternError(ValueError):
    """The text is not a pattern, or one that is too large."""


LAST = chr(0x10FFFF)
DIGITS: Ranges = (("0", "9"),)
WORD: Ranges = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
SPACE: Ranges = (("\t", "\n"), ("\f", "\r"), (" ", " "))


def others(ranges: Ranges) -> Ranges:
    """All characters that are not in some ranges, which are in order."""
    result, first = [], 0
    for low, high in ranges:
        if ord(low) > first:
            result.append((chr(first), chr(ord(low) - 1)))
        first = ord(high) + 1
    return (*result, (chr(first), LAST))


PERL: dict[str, Ranges] = {
    "d": DIGITS,
    "D": others(DIGITS),
    "w": WORD,
    "W": others(WORD),
    "s": SPACE,
    "S": others(SPACE),
}
"""What a backslash makes of a letter (RE2, "Perl character classes": ASCII only)."""

POSIX: dict[str, Ranges] = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": DIGITS,
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": WORD,
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
"""What stands between `[:` and `:]` (RE2, "ASCII character classes")."""


@dataclass(frozen=True, slots=True)
class CharSet:
    """Some characters."""

    ranges: Ranges
    negated: bool = False
    folded: bool = False
    """Whether upper and lower case are the same."""

    def __contains__(self, char: str) -> bool:
        forms = {char, char.lower(), char.upper()} if self.folded else {char}
        # upper case may be longer than one character, which is in no range
        return any(low <= form <= high for form in forms if len(form) == 1 for low, high in self.ranges) != self.negated


def is_word(char: str) -> bool:
    """Whether a character is one that a word boundary goes by."""
    return char.isascii() and (char.isalnum() or char == "_")
