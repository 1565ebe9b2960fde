"""The two filter languages, each with its own words for a filter that is malformed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.api.contract.filters import expressions, matching
from testbed.api.contract.filters.restrictions import Predicate
from testbed.api.contract.filters.scanner import MalformedFilter
from testbed.control.watch.workload_log import SEVERITIES
from testbed.errors import GoogleText, InvalidArgument

MAX_LENGTH = 4096
"""How many characters a filter may have: a limit of ours, so that no filter is a "query of death" (AIP-160)."""


@dataclass(frozen=True)
class Filter:
    """A predicate of resources that knows its text: page tokens are bound to it."""

    text: str
    matches: Predicate

    def __call__(self, resource: Mapping[str, Any]) -> bool:
        """Whether a resource passes."""
        return self.matches(resource)


EVERYTHING = Filter("", lambda _: True)
"""The filter of a list method that was given none."""


def aip160(text: str, *, known: Collection[str] | None = None) -> Filter:
    """A filter of AIP-160, as all services but compute have it.

    `known` are the resource's own fields in camelCase, if others are to be refused. There are no functions. Raises
    InvalidArgument that says what is wrong at which position.
    """
    try:
        return _compiled(text, expressions.ExpressionRules(bare_words=True, substrings=False, known=known))
    except MalformedFilter as error:
        raise InvalidArgument(f"filter: {error.message} at position {error.position}") from error


def logging(text: str) -> Filter:
    """The Logging query language, as far as it is AIP-160's: `:` finds a part of a string; `=~` and functions are not.

    Raises InvalidArgument that says what is wrong at which position.
    """
    try:
        rules = expressions.ExpressionRules(bare_words=True, substrings=True, ordered={"severity": SEVERITIES})
        return _compiled(text, rules)
    except MalformedFilter as error:
        raise InvalidArgument(
            GoogleText(f"Unparseable filter: {error.message} at position {error.position}.")
        ) from error


def compute(text: str, *, known: Collection[str] | None = None) -> Filter:
    """The `filter` of compute's list methods: AIP-160 with a field in every term, or `eq` and `ne` with patterns.

    "These two types of filter expressions cannot be mixed in one request" (compute v1, `filter`). Raises
    InvalidArgument in Google's words; its hint names the position.
    """
    try:
        if matching.is_matching(text):
            _check_length(text)
            return Filter(text, matching.Matching(text, known).parse())
        rules = expressions.ExpressionRules(bare_words=False, substrings=True, unset_differs=True, known=known)
        return _compiled(text, rules)
    except MalformedFilter as error:
        raise InvalidArgument(
            GoogleText(f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."),
            hint=f"{error.message} at position {error.position}",
        ) from error


def _compiled(text: str, rules: expressions.ExpressionRules) -> Filter:
    _check_length(text)
    return Filter(text, expressions.Expression(text, rules).parse()) if text.strip() else EVERYTHING


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise MalformedFilter(f"more than {MAX_LENGTH} characters", MAX_LENGTH)
