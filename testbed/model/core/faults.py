"""What is wrong with a resource by itself, in our words: the validation's own speak of Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from testbed.model.core.annotations import Path, message_in
from testbed.model.core.resource import Resource

_UNKNOWN = "unknown key"
_SHOULD = re.compile(r"(?:[A-Z][a-z]+) should (be|have|match) (.+?)(?: after validation)?(?:, not \d+)?", re.DOTALL)
"""How pydantic begins most of its messages: with the Python type."""
_RULES: Mapping[str, str] = {
    "extra_forbidden": _UNKNOWN,
    "missing": "it is required",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "recursion_loop": "must not be in itself",
}
"""Rules by the type of error that pydantic has (its "Validation Errors" page lists them)."""


class Fault(NamedTuple):
    """A rule that is broken."""

    path: Path
    value: object
    """What is there; None if nothing is."""
    rule: str

    @property
    def shown(self) -> object:
        """What is there, if it is worth showing: what has parts is not."""
        return None if isinstance(self.value, dict | list | tuple) else self.value


def faults(error: ValidationError, of: type[Resource]) -> list[Fault]:
    """What validation has found in something that was to be a resource of a kind.

    What follows from a key that is a slip of the pen is not told: that the right one is missing, and, where the slip
    is in a key of the whole, such as `region`, anything else.
    """
    known = [_Found(item, of) for item in error.errors(include_url=False)]
    if any(one.meant and len(one.path) == 1 for one in known):
        return [one.fault for one in known if one.unknown]
    meant = {(*one.path[:-1], one.meant) for one in known if one.meant}
    return [one.fault for one in known if one.path not in meant]


class _Found:
    """One error of pydantic's."""

    def __init__(self, item: ErrorDetails, of: type[Resource]) -> None:
        self.path: Path = item["loc"]
        self.unknown = item["type"] == "extra_forbidden"
        near = get_close_matches(str(self.path[-1]), _keys(of, self.path[:-1]), 1) if self.unknown else []
        self.meant = near[0] if near else None
        """The key that an unknown one was probably meant to be."""
        rule = f"{_UNKNOWN}, did you mean {self.meant}?" if self.meant else _rule(item)
        self.fault = Fault(self.path, None if item["type"] == "missing" else item["input"], rule)


def _rule(item: ErrorDetails) -> str:
    if known := _RULES.get(item["type"]):
        return known
    if found := _SHOULD.fullmatch(item["msg"]):
        return f"must {found[1]} {found[2]}"
    return item["msg"].removeprefix("Value error, ")


def _keys(of: type[Resource], path: Path) -> list[str]:
    """The keys that the message at a path can have; none if it is not known which message that is."""
    kind: type[Resource] | None = of
    for part in path:
        if kind is not None and isinstance(part, str):
            kind = message_in(kind, part)
    return [field.alias or name for name, field in kind.model_fields.items()] if kind else []
