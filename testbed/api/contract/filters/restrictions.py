"""The smallest parts of a filter as predicates: a field compared, a field that has something, a bare word."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from testbed.api.contract.filters.fields import Path, leaves, member, parent, texts
from testbed.api.contract.filters.literals import OPERATORS, Literal, compare
from testbed.api.contract.masks import camel

Predicate = Callable[[Mapping[str, Any]], bool]


def compared(path: Path, sign: str, literal: Literal, *, unset_differs: bool) -> Predicate:
    """`path sign literal`, for the signs that compare.

    If an object on the way is not set the resource does not match, "even when the comparison is a `!=`" (AIP-160); with
    `unset_differs` it matches then.  If only the last field is not set it has its type's default value. `null` equals
    what is not set.
    """

    def holds(resource: Mapping[str, Any]) -> bool:
        holder = parent(resource, path)
        if holder is None:
            if literal.is_null:
                return sign == "="
            return unset_differs and sign == "!="
        value = member(holder, path[-1])
        if literal.is_null:
            return (value is None) if sign == "=" else (value is not None and sign == "!=")
        if value is None:
            value = literal.default()
            if len(literal.pieces) > 1:  # a wildcard stands for some text, and there is none
                return sign == "!="
        return compare(value, sign, literal)

    return holds


def ranked(path: Path, sign: str, name: str, order: Sequence[str]) -> Predicate:
    """`path sign name`, where names are compared by their places in an order; the first stands for what is not set."""
    place = {one: index for index, one in enumerate(order)}
    compares = OPERATORS[sign]

    def holds(resource: Mapping[str, Any]) -> bool:
        holder = parent(resource, path)
        value = None if holder is None else member(holder, path[-1])
        return compares(place.get(str(value), 0), place[name])

    return holds


def has(path: Path, literal: Literal, *, substrings: bool) -> Predicate:
    """`path:literal`: a list contains it, an object has it as a key, a plain value is it; `*` asks for any value.

    With `substrings`, strings need only contain it: compute's `:` "can be used with string fields to match substrings".
    A boolean that is not set is false: Cloud Run's operations are asked for with `done:false`.
    """

    def holds(resource: Mapping[str, Any]) -> bool:
        return any(found(value) for value in leaves(resource, path))

    def found(value: Any) -> bool:
        if literal.is_anything:
            return _is_present(value, in_map=len(path) > 1)
        if value is None:
            return literal.text == "false"
        if isinstance(value, Mapping):
            return any(literal.covers(key) for key in value) or camel(literal.text) in value
        if isinstance(value, list):
            return any(found(element) for element in value if not isinstance(element, Mapping | list | None))
        if substrings and isinstance(value, str):
            return literal.occurs_in(value)
        return compare(value, "=", literal)

    return holds


def _is_present(value: Any, *, in_map: bool) -> bool:
    """Whether a field "has a non-default value" (AIP-160); the key of a map is there even with an empty text."""
    return bool(value) or (in_map and value == "" and isinstance(value, str))


def anywhere(literal: Literal) -> Predicate:
    """A bare literal, "matched anywhere it may appear in an object's field values" (AIP-160).

    A string matches if it contains the literal, upper or lower case; a number or boolean if it is written that way.
    """

    def occurs(value: Any) -> bool:
        if isinstance(value, str):
            return literal.folded.occurs_in(value.casefold())
        return literal.covers(json.dumps(value, default=str))

    return lambda resource: any(occurs(value) for value in texts(resource))
