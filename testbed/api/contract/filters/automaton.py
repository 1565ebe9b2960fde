r"""A pattern as a machine that reads a text once: the time it takes is bounded, whatever the pattern.

Compute's patterns are RE2's, which never backtracks. Python's `re` does: gcloud's own `^debian(-.+)*-v.+` takes it
2**60 steps on a name of 60 dashes. Only whether the whole text matches is asked, so there are no captures, and greedy
and lazy repetitions are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.api.contract.filters.charsets import CharSet, PatternError, is_word

MAX_NODES = 2000
"""How large a pattern may become once its counted repetitions are written out (RE2 has such a limit too)."""
_MAX_REMEMBERED = 4000
"""How many steps are remembered before that starts anew (RE2 bounds its cache of states likewise)."""

END = -1
"""The node that has matched."""


@dataclass(frozen=True, slots=True)
class AutomatonState:
    """A point of the machine: it goes on by reading a character, under a condition, or for nothing."""

    then: tuple[int, ...]
    reads: CharSet | None = None
    condition: str = ""
    r"""One of `^`, `$`, `b` (at a word boundary) and `B`."""


class Automaton:
    """The nodes of a pattern; fill it with `add`, then set `start`."""

    def __init__(self) -> None:
        self._nodes: list[AutomatonState] = []
        self.start = END
        self._steps: dict[tuple[frozenset[int], str, str], frozenset[int]] = {}

    def add(self, node: AutomatonState) -> int:
        """Add a node and say which it is. Raises PatternError if there are too many."""
        if len(self._nodes) >= MAX_NODES:
            raise PatternError("the pattern is too large")
        self._nodes.append(node)
        return len(self._nodes) - 1

    def change(self, index: int, node: AutomatonState) -> None:
        """Put another node in a place: a repetition leads back to where it started."""
        self._nodes[index] = node

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        states, before = frozenset([self.start]), ""
        for char in text:
            states, before = self._step(states, before, char), char
            if not states:
                return False
        return END in self._reached(states, before, "")

    def _step(self, states: frozenset[int], before: str, char: str) -> frozenset[int]:
        # of the character before, only this much matters: whether there is one, and whether it belongs to a word
        key = (states, before and ("w" if is_word(before) else "-"), char)
        if key not in self._steps:
            if len(self._steps) >= _MAX_REMEMBERED:
                self._steps.clear()
            reached = (self._nodes[index] for index in self._reached(states, before, char) if index != END)
            self._steps[key] = frozenset(
                after for node in reached if node.reads is not None and char in node.reads for after in node.then
            )
        return self._steps[key]

    def _reached(self, states: frozenset[int], before: str, after: str) -> set[int]:
        """The nodes that some states lead to between two characters without reading any."""
        seen, rest = set(states), list(states)
        while rest:
            index = rest.pop()
            if index == END:
                continue
            node = self._nodes[index]
            if node.reads is None and _holds(node.condition, before, after):
                fresh = [one for one in node.then if one not in seen]
                seen.update(fresh)
                rest += fresh
        return seen


def _holds(condition: str, before: str, after: str) -> bool:
    if condition == "^":
        return not before
    if condition == "$":
        return not after
    boundary = (bool(before) and is_word(before)) != (bool(after) and is_word(after))
    return {"": True, "b": boundary, "B": not boundary}[condition]
