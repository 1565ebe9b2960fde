"""The right-hand side of a filter, and how the value of a field compares with it.

A filter is text: what its literal means follows from the value that it meets, as "type conversion takes place to
translate the string to the appropriate strongly-typed value" (AIP-160).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from testbed.api.contract.filters.scalars import duration, instant, number, whole

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Literal:
    """A value as written in a filter."""

    pieces: tuple[str, ...]
    """The text between the wildcards: `("a", "")` for `a*`."""
    quoted: bool = False
    """Whether it stood in quotes: numbers and null do not."""

    @classmethod
    def bare(cls, text: str) -> Literal:
        """A literal without quotes: every star in it is a wildcard."""
        return cls(tuple(text.split("*")))

    @classmethod
    def dotted(cls, names: Sequence[Literal]) -> Literal:
        """What reads like a path but stands alone, as `example.com`: one text with dots."""
        pieces = names[0].pieces
        for name in names[1:]:
            pieces = (*pieces[:-1], f"{pieces[-1]}.{name.pieces[0]}", *name.pieces[1:])
        return cls(pieces, quoted=names[0].quoted)

    @cached_property
    def text(self) -> str:
        """The whole text, wildcards as stars."""
        return "*".join(self.pieces)

    @property
    def is_anything(self) -> bool:
        """Whether it is `*` alone, which asks whether there is a value."""
        return self.pieces == ("", "")

    @property
    def is_null(self) -> bool:
        """Whether it is the word null, which stands for a field that is not set."""
        return self.text == "null" and not self.quoted

    def covers(self, text: str) -> bool:
        """Whether a text is this one, each wildcard standing for any characters; in linear time, whatever the stars."""
        if len(self.pieces) == 1:
            return text == self.pieces[0]
        first, *between, last = self.pieces
        at, end = len(first), len(text) - len(last)
        if at > end or not text.startswith(first) or not text.endswith(last):
            return False
        return _in_order(text, between, at, end)

    def occurs_in(self, text: str) -> bool:
        """Whether a text contains this one."""
        return _in_order(text, self.pieces, 0, len(text))

    @cached_property
    def folded(self) -> Literal:
        """The same without regard to case."""
        return Literal(tuple(piece.casefold() for piece in self.pieces), self.quoted)

    def default(self) -> bool | float | str | None:
        """What an unset field holds if this literal suits its type: proto3 leaves default values out of JSON.

        None for timestamps and durations: those are messages, and a message that is not set has no value.
        """
        if not self.quoted and self.text in {"true", "false"}:
            return False
        if not self.quoted and number(self.text) is not None:
            return 0
        return None if instant(self.text) or duration(self.text) is not None else ""


def _in_order(text: str, pieces: list[str] | tuple[str, ...], at: int, end: int) -> bool:
    for piece in pieces:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def compare(value: Any, sign: str, literal: Literal) -> bool:
    """Whether a value of a resource stands in a relation (one of `OPERATORS`) to a literal.

    A literal that is not of the value's type is unequal to it, neither smaller nor larger. Lists and objects compare
    with nothing (AIP-160 has `:` for them), nor are booleans ordered.
    """
    if not isinstance(value, str | int | float):
        return False
    pair = _alike(value, literal)
    if sign in {"=", "!="}:
        equal = pair is not None and pair[0] == pair[1]
        equal = equal or (isinstance(value, str) and literal.covers(value))
        return equal == (sign == "=")
    if pair is None or isinstance(value, bool):
        return False
    return OPERATORS[sign](*pair)


def _alike(value: str | float, literal: Literal) -> tuple[Any, Any] | None:
    """The value and the literal as the same type; None if the literal is not of the value's."""
    text = literal.text
    if isinstance(value, bool):
        return (value, text == "true") if text in {"true", "false"} else None
    if isinstance(value, int | float):
        other = number(text)
        return None if other is None else (value, other)
    for meaning in (instant, duration, whole):
        left, right = meaning(value), meaning(text)
        if left is not None and right is not None and not (meaning is whole and literal.quoted):
            return left, right
    return value, text
