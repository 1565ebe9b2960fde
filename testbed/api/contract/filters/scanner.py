"""The text of a filter, read from left to right."""

from __future__ import annotations

import re

from testbed.api.contract.filters.literals import Literal

_SPACE = re.compile(r"\s*")


class MalformedFilter(Exception):  # noqa: N818  it is caught within this package, where the dialect's words are added
    """The text is not a filter; `position` is where that shows, counted from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class Scanner:
    """A text and how far it was read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def next(self) -> str:
        """The next character, or nothing at the end."""
        return self.text[self.at : self.at + 1]

    def space(self) -> bool:
        """Skip white space; whether there was some."""
        before = self.at
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches everywhere
        return self.at > before

    def take(self, token: str) -> bool:
        """Read a token if it comes next; whether it did."""
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def keyword(self, word: str) -> bool:
        """Read a word if it comes next and ends there (`ANDROID` is not `AND`); whether it did."""
        after = self.text[self.at + len(word) : self.at + len(word) + 1]
        return (not after or after.isspace() or after in "()") and self.take(word)

    def read(self, pattern: re.Pattern[str]) -> str:
        """Read what a pattern matches here: nothing if it does not."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found[0] if found else ""

    def quoted(self) -> Literal | None:
        r"""Read a string in either kind of quotes, if one starts here; a backslash takes `"`, `'`, `\` and `*` as such.

        Raises MalformedFilter if it does not end.
        """
        quote, start = self.next, self.at
        if quote not in {'"', "'"}:
            return None
        pieces, at = [""], start + 1
        while at < len(self.text):
            char = self.text[at]
            if char == quote:
                self.at = at + 1
                return Literal(tuple(pieces), quoted=True)
            if char == "*":
                pieces.append("")
            elif char == "\\" and self.text[at + 1 : at + 2] in {'"', "'", "\\", "*"}:
                at += 1
                pieces[-1] += self.text[at]
            else:
                pieces[-1] += char
            at += 1
        raise MalformedFilter("a string that does not end", start)

    def fail(self, message: str, position: int | None = None) -> MalformedFilter:
        """The error that says what is wrong where (by default: here)."""
        return MalformedFilter(message, self.at if position is None else position)
