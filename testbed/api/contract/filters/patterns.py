r"""RE2's regular expressions (github.com/google/re2/wiki/Syntax), compiled to an automaton.

All of the syntax but what names Unicode classes (`\pL`), quotes (`\Q...\E`), octal numbers, and the flags `m` and `U`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from testbed.api.contract.filters.automaton import END, Automaton, AutomatonState
from testbed.api.contract.filters.charsets import CharSet, PatternError, Ranges
from testbed.api.contract.filters.classes import char_class, escape

MAX_REPEAT = 1000
"""RE2's limit of a counted repetition."""
_MAX_DEPTH = 50

_COUNT = re.compile(r"\{(\d{1,5})(,(\d{1,5})?)?\}", re.ASCII)
_GROUP = re.compile(r"\?(?:P?<\w+>|([is]*)(?:-([is]+))?(:|\)))", re.ASCII)
_CONDITIONS = {"b": "b", "B": "B", "A": "^", "z": "$"}

Part = Callable[[int], int]
"""A piece of a pattern: given the node that comes after it, it adds its own and says where it starts."""


class Pattern:
    """One pattern while it is parsed. Every method raises PatternError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags: frozenset[str] = frozenset()
        self._depth = 0
        self._machine = Automaton()

    def automaton(self) -> Automaton:
        """The machine that says whether a whole text matches."""
        part = self._alternatives()
        if self._at < len(self._text):
            raise PatternError("the pattern has an unexpected )")
        self._machine.start = part(END)
        return self._machine

    def _alternatives(self) -> Part:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError("the pattern has too many groups in each other")
        outside, parts = self._flags, [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        self._flags = outside  # what (?i) sets ends with the group that it stands in
        self._depth -= 1
        return lambda then: self._machine.add(AutomatonState(tuple(part(then) for part in parts)))

    def _sequence(self) -> Part:
        parts: list[Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repetition())
        return self._chain(parts)

    def _chain(self, parts: list[Part]) -> Part:
        def build(then: int) -> int:
            # a node even for nothing, so that what is repeated always counts
            then = self._machine.add(AutomatonState((then,)))
            for part in reversed(parts):
                then = part(then)
            return then

        return build

    def _repetition(self) -> Part:
        part = self._atom()
        repeat = self._repeat()
        if repeat is None:
            return part
        self._take("?")  # lazy: it matches the same texts
        if self._repeat() is not None:
            raise PatternError("the pattern repeats a repetition")
        least, most = repeat
        tail = [self._star(part)] if most is None else [self._optional(part)] * (most - least)
        return self._chain([part] * least + tail)

    def _repeat(self) -> tuple[int, int | None] | None:
        for sign, repeat in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return repeat
        found = _COUNT.match(self._text, self._at)
        if not found:
            return None
        self._at = found.end()
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise PatternError("the pattern has a repetition that is too large or the wrong way round")
        return least, most

    def _star(self, part: Part) -> Part:
        def build(then: int) -> int:
            loop = self._machine.add(AutomatonState((then,)))
            self._machine.change(loop, AutomatonState((part(loop), then)))
            return loop

        return build

    def _optional(self, part: Part) -> Part:
        return lambda then: self._machine.add(AutomatonState((part(then), then)))

    def _atom(self) -> Part:
        char = self._text[self._at]
        self._at += 1
        if char == "(":
            return self._group()
        following = self._text[self._at : self._at + 1]
        if char in "^$" or (char == "\\" and following in _CONDITIONS):
            self._at += char == "\\"
            return self._condition(_CONDITIONS.get(following, char) if char == "\\" else char)
        if char == "[":
            chars, self._at = char_class(self._text, self._at, folded="i" in self._flags)
            return self._reads(chars)
        if char == ".":
            return self._reads(CharSet(() if "s" in self._flags else (("\n", "\n"),), negated=True))
        if char in "*+?":
            raise PatternError(f"the pattern has nothing for {char} to repeat")
        ranges: Ranges = ((char, char),)
        if char == "\\":
            ranges, self._at = escape(self._text, self._at)
        return self._reads(CharSet(ranges, folded="i" in self._flags))

    def _group(self) -> Part:
        outside = self._flags
        if self._text.startswith("?", self._at):
            found = _GROUP.match(self._text, self._at)
            if not found:
                raise PatternError("the pattern has a group that RE2 does not have")
            self._at = found.end()
            self._flags = (self._flags | set(found[1] or "")) - set(found[2] or "")
            if found[3] == ")":  # it holds for the rest of the group around it
                return self._chain([])
        part = self._alternatives()
        self._flags = outside
        if not self._take(")"):
            raise PatternError("the pattern has a group that is not closed")
        return part

    def _condition(self, condition: str) -> Part:
        return lambda then: self._machine.add(AutomatonState((then,), condition=condition))

    def _reads(self, chars: CharSet) -> Part:
        return lambda then: self._machine.add(AutomatonState((then,), reads=chars))

    def _take(self, char: str) -> bool:
        found = self._text.startswith(char, self._at)
        self._at += found
        return found
