"""The grammar of AIP-160 (google.aip.dev/assets/misc/ebnf-filtering.txt), parsed straight into predicates.

OR binds tighter than AND: `a AND b OR c` is `a AND (b OR c)`. Things that stand next to each other are joined by AND.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from testbed.api.contract.filters.fields import Path
from testbed.api.contract.filters.literals import OPERATORS, Literal
from testbed.api.contract.filters.restrictions import Predicate, anywhere, compared, has, ranked
from testbed.api.contract.filters.scanner import Scanner
from testbed.api.contract.masks import camel

MAX_DEPTH = 50
"""How deep parentheses may be nested: a limit of ours, which AIP-160 allows against "queries of death"."""

_NAME = re.compile(r"""[^\s.,:=<>!()"'-][^\s.,:=<>!()"']*""")
_KEY = re.compile(r"""[^\s.,:=<>!()"']+""")
_FIELD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_VALUE = re.compile(r"""[^\s(),"'=<>!]+""")
_KEYWORDS = {"AND", "OR", "NOT"}


@dataclass(frozen=True)
class ExpressionRules:
    """In what the languages differ that share this grammar."""

    bare_words: bool
    """Whether a literal may stand alone: "your expression must specify the field name, an operator" in compute."""
    substrings: bool
    """Whether `:` finds a part of a string."""
    unset_differs: bool = False
    """Whether `!=` holds where an object on the way is not set."""
    known: Collection[str] | None = None
    """The fields that may be named (camelCase, the outermost only); None if all may."""
    ordered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Fields whose values are names that have an order of their own, the least first."""


class Expression:
    """One filter while it is parsed; `parse` raises MalformedFilter."""

    def __init__(self, text: str, rules: ExpressionRules) -> None:
        self._scanner = Scanner(text)
        self._rules = rules
        self._depth = 0

    def parse(self) -> Predicate:
        """The predicate of a text that is not blank."""
        result = self._expression(self._restriction)
        if self._scanner.next:
            raise self._scanner.fail("a parenthesis that was not opened")
        return result

    def _expression(self, simple: Callable[[], Predicate]) -> Predicate:
        scanner, factors = self._scanner, [self._factor(simple)]
        while scanner.next not in {"", ")"}:
            if scanner.keyword("AND"):
                scanner.space()
            factors.append(self._factor(simple))
        return _every(factors)

    def _factor(self, simple: Callable[[], Predicate]) -> Predicate:
        terms = [self._term(simple)]
        while self._scanner.keyword("OR"):
            terms.append(self._term(simple))
        return _some(terms)

    def _term(self, simple: Callable[[], Predicate]) -> Predicate:
        scanner = self._scanner
        scanner.space()
        negated = scanner.keyword("NOT") or scanner.take("-")
        scanner.space()
        result = self._composite(simple) if scanner.next == "(" else simple()
        if not scanner.space() and scanner.next not in {"", "(", ")"}:
            raise scanner.fail(f"'{scanner.next}' was not expected")
        return _not(result) if negated else result

    def _composite(self, simple: Callable[[], Predicate]) -> Predicate:
        scanner, start = self._scanner, self._scanner.at
        scanner.take("(")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise scanner.fail(f"more than {MAX_DEPTH} parentheses in each other", start)
        result = self._expression(simple)
        self._depth -= 1
        if not scanner.take(")"):
            raise scanner.fail("a parenthesis that is not closed", start)
        return result

    def _restriction(self) -> Predicate:
        scanner, start = self._scanner, self._scanner.at
        names = [self._value(_NAME)]
        while scanner.take("."):
            names.append(self._value(_KEY))
        self._refuse_call(names[-1])
        end = scanner.at
        scanner.space()
        sign = next((sign for sign in (*OPERATORS, ":") if scanner.take(sign)), None)
        if sign is None:
            scanner.at = end
            if not self._rules.bare_words:
                raise scanner.fail("a value without a field and an operator", start)
            return anywhere(Literal.dotted(names))
        path = self._path(names, start)

        def restrict() -> Predicate:
            literal = self._value(_VALUE)
            self._refuse_call(literal)
            if sign == ":":
                return has(path, literal, substrings=self._rules.substrings)
            if order := self._rules.ordered.get(".".join(path)):
                return self._ranked(path, sign, literal, order)
            return compared(path, sign, literal, unset_differs=self._rules.unset_differs)

        scanner.space()
        return self._composite(restrict) if scanner.next == "(" else restrict()

    def _ranked(self, path: Path, sign: str, literal: Literal, order: Sequence[str]) -> Predicate:
        if (name := literal.text.upper()) not in order:
            raise self._scanner.fail(f"'{literal.text}' is none of {', '.join(order)}")
        return ranked(path, sign, name, order)

    def _value(self, bare: re.Pattern[str]) -> Literal:
        scanner, start = self._scanner, self._scanner.at
        literal = scanner.quoted()
        if literal is None:
            text = scanner.read(bare)
            if not text or (text in _KEYWORDS and bare is not _KEY):
                raise scanner.fail(f"expected a field or a value, found '{text or scanner.next or 'the end'}'", start)
            literal = Literal.bare(text)
        return literal

    def _refuse_call(self, name: Literal) -> None:
        if self._scanner.next == "(" and not name.quoted:
            raise self._scanner.fail(f"the function '{name.text}' is not supported")

    def _path(self, names: list[Literal], start: int) -> Path:
        field = names[0].text
        if not names[0].quoted and not _FIELD.fullmatch(field):
            raise self._scanner.fail(f"'{field}' is not the name of a field", start)
        if any(not name.quoted and set(name.text) & set("*[]") for name in names):
            raise self._scanner.fail("the elements of a list cannot be named", start)
        if self._rules.known is not None and not {field, camel(field)} & set(self._rules.known):
            raise self._scanner.fail(f"there is no field '{field}'", start)
        return tuple(name.text for name in names)


def _every(parts: list[Predicate]) -> Predicate:
    return parts[0] if len(parts) == 1 else lambda resource: all(part(resource) for part in parts)


def _some(parts: list[Predicate]) -> Predicate:
    return parts[0] if len(parts) == 1 else lambda resource: any(part(resource) for part in parts)


def _not(part: Predicate) -> Predicate:
    return lambda resource: not part(resource)
