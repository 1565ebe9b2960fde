"""Compute's older filter language: `field eq pattern` and `field ne pattern`, joined only by parentheses.

"Multiple terms can be AND'ed by enclosing adjacent terms in parenthesis. Explicit AND, OR or NOT operators are not
supported." (gcloud's api_lib/compute/filter_rewrite.py, which writes these filters: `(name eq ".*foo.*")(size ne 3)`.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from testbed.api.contract.filters.automaton import Automaton
from testbed.api.contract.filters.charsets import PatternError
from testbed.api.contract.filters.fields import Path, member, parent
from testbed.api.contract.filters.patterns import Pattern
from testbed.api.contract.filters.restrictions import Predicate
from testbed.api.contract.filters.scanner import MalformedFilter, Scanner
from testbed.api.contract.masks import camel

MAX_DEPTH = 50
"""As in AIP-160's grammar."""

_BEGINNING = re.compile(r"[\s(]*[A-Za-z_][\w.-]*\s+(?:eq|ne)(?=\s)", re.ASCII)
_FIELD = re.compile(r"[A-Za-z_]\w*(?:\.[\w/-]+)*", re.ASCII)
_SIGN = re.compile(r"\s+(?:eq|ne)\s+")


def is_matching(text: str) -> bool:
    """Whether a filter is one of this language: its first term decides, the two cannot be mixed."""
    return _BEGINNING.match(text) is not None


class Matching:
    """One filter while it is parsed; `parse` raises MalformedFilter."""

    def __init__(self, text: str, known: Collection[str] | None) -> None:
        self._scanner = Scanner(text)
        self._known = known

    def parse(self) -> Predicate:
        """The predicate of a text."""
        terms = self._terms(depth=0)
        if self._scanner.next:
            raise self._scanner.fail(f"'{self._scanner.next}' was not expected")
        return lambda resource: all(term(resource) for term in terms)

    def _terms(self, depth: int) -> list[Predicate]:
        """Either one term without parentheses, or any number of them in parentheses."""
        scanner, terms = self._scanner, []
        if depth > MAX_DEPTH:
            raise scanner.fail(f"more than {MAX_DEPTH} parentheses in each other")
        scanner.space()
        if scanner.next != "(":
            terms.append(self._term())
            scanner.space()
            return terms
        while scanner.take("("):
            terms += self._terms(depth + 1)
            if not scanner.take(")"):
                raise scanner.fail("expected a closing parenthesis")
            scanner.space()
        return terms

    def _term(self) -> Predicate:
        scanner, start = self._scanner, self._scanner.at
        path = tuple(scanner.read(_FIELD).split("."))
        if self._known is not None and not {path[0], camel(path[0])} & set(self._known):
            raise scanner.fail(f"there is no field '{path[0]}'", start)
        sign = scanner.read(_SIGN).strip()
        if not path[0] or not sign:
            raise scanner.fail("expected a field, eq or ne, and a pattern", start)
        start = scanner.at
        try:
            pattern = Pattern(self._operand()).automaton()
        except PatternError as error:
            raise MalformedFilter(str(error), start) from error
        return _matched(path, pattern, wanted=sign == "eq")

    def _operand(self) -> str:
        r"""The pattern: in quotes, where `\"` is a quote, or up to white space or the parenthesis around the term."""
        scanner, start = self._scanner, self._scanner.at
        quote = scanner.next if scanner.next in {'"', "'"} else ""
        scanner.at += len(quote)
        depth, in_class = 0, False
        while char := scanner.next:
            if char == quote:
                scanner.at += 1
                return scanner.text[start + 1 : scanner.at - 1]
            if not quote and (char.isspace() or (char == ")" and not depth and not in_class)):
                break
            if char in "[]":
                in_class = char == "["
            elif not in_class:
                depth += (char == "(") - (char == ")")
            scanner.at = min(scanner.at + (2 if char == "\\" else 1), len(scanner.text))
        if quote or scanner.at == start:
            raise scanner.fail("a pattern that does not end" if quote else "expected a pattern", start)
        return scanner.text[start : scanner.at]


def _matched(path: Path, pattern: Automaton, *, wanted: bool) -> Predicate:
    """Whether the pattern matches the whole value; it never matches a list, an object or a field that is not set.

    "The literal value must match the entire field" (compute v1, `filter`).
    """

    def holds(resource: Mapping[str, Any]) -> bool:
        value = member(holder, path[-1]) if (holder := parent(resource, path)) is not None else None
        if isinstance(value, bool | int | float):  # gcloud writes `size eq 3` and `enabled eq true`
            value = json.dumps(value)
        return (isinstance(value, str) and pattern.matches(value)) == wanted

    return holds
