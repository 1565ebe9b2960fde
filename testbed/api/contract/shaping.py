"""The system parameters that shape an answer: `fields` (a partial response) and `$alt=json;enum-encoding=int`.

Enums have numbers where Google publishes the message types (`messages.enums`); elsewhere they keep their names.

A selection of fields is a list of paths with commas between them: `items/name`, `items(name,id)`, `items/*/email`.  It
holds for each element of a list (Google's "Performance tips", partial response).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from testbed.api.contract.discovery import Document, Method, document
from testbed.api.contract.masks import camel
from testbed.api.contract.messages import enums
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json

Selection = dict[str, "Selection"]
"""The fields that are wanted; an empty selection below one means all of it."""
Enums = Mapping[tuple[str, ...], Mapping[int, str]]
"""Numbers of enums, by their names in order."""

_TOKEN = re.compile(r"\s*([A-Za-z_@$*][\w@$.-]*|[(),/])\s*")
_DEEPEST = 32


def shape(method: Method, query: Mapping[str, str]) -> Callable[[Json], Json]:
    """What a request asks to be made of the answer.

    Raises:
        InvalidArgument: it selects fields that the answer cannot have.
    """
    text = query.get("fields") or query.get("$fields")
    chosen = selection(text) if text else {}
    known = document(method.api)
    if method.response and not method.api.startswith("storage."):  # Cloud Storage passes over what it does not know
        _check(known, known.schemas[method.response], chosen)
    as_numbers = "enum-encoding=int" in (query.get("$alt") or query.get("alt") or "")

    def shaped(answer: Json) -> Json:
        if as_numbers and method.response:
            answer = _numbered(known, known.schemas[method.response], answer, enums(method.api))
        return selected(answer, chosen) or {}

    return shaped


def selection(text: str) -> Selection:
    """Read a selection of fields.

    Raises:
        InvalidArgument: it is none.
    """
    tokens: list[str] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _invalid(text)
        tokens += [part for part in re.split(r"(\.)", found[1]) if part]
        at = found.end()
    rest = ["/" if token == "." else token for token in tokens]  # noqa: S105 - a token of text
    chosen = _list(rest, text, 0)
    if rest:
        raise _invalid(text)
    return chosen


def _list(tokens: list[str], text: str, depth: int) -> Selection:
    """The selections up to a closing parenthesis or the end; they are taken off the tokens."""
    chosen: Selection = {}
    while True:
        _path(tokens, chosen, text, depth)
        if not tokens or tokens[0] != ",":
            return chosen
        tokens.pop(0)


def _path(tokens: list[str], chosen: Selection, text: str, depth: int) -> None:
    if depth > _DEEPEST or not tokens or tokens[0] in "(),/":
        raise _invalid(text)
    name = camel(tokens.pop(0))
    known = name in chosen
    below = chosen.setdefault(name, {})
    if tokens and tokens[0] == "/":
        tokens.pop(0)
        inner: Selection = {}
        _path(tokens, inner, text, depth + 1)
    elif tokens and tokens[0] == "(":
        tokens.pop(0)
        inner = _list(tokens, text, depth + 1)
        if not tokens or tokens.pop(0) != ")":
            raise _invalid(text)
    else:
        below.clear()  # all of it
        return
    if not known or below:  # if all of it is wanted already, a part of it adds nothing
        below.update(inner)


def _invalid(text: str) -> InvalidArgument:
    return InvalidArgument(GoogleText(f"Invalid field selection {text}"), reason="invalidParameter")


def selected(value: Any, chosen: Selection) -> Any:
    """The part of a value that is selected; None if nothing of it is."""
    if not chosen:
        return value
    if isinstance(value, list):
        return [part for element in value if (part := selected(element, chosen)) is not None]
    if not isinstance(value, Mapping):
        return None
    result: Json = {}
    for name, item in value.items():
        below = chosen.get(name, chosen.get("*"))
        if below is not None and (part := selected(item, below)) is not None:
            result[name] = part
    return result


def _check(described: Document, schema: Json, chosen: Selection) -> None:
    """Refuse a selection of fields that a message does not have."""
    schema = _resolved(described, schema)
    properties, rest = schema.get("properties"), schema.get("additionalProperties")
    if properties is None and rest is None and schema.get("type") in {"any", "object", None}:
        return  # anything may be in it
    for name, below in chosen.items():
        if name == "*":  # whatever has the fields below it is meant
            continue
        inside = (properties or {}).get(name, rest)
        if inside is None:
            raise _invalid(name)
        if below:
            _check(described, inside, below)


def _resolved(described: Document, schema: Json) -> Json:
    while "$ref" in schema or schema.get("type") == "array":
        schema = described.schemas[schema["$ref"]] if "$ref" in schema else schema["items"]
    return schema


def _numbered(described: Document, schema: Json, value: Any, numbers_of: Enums) -> Any:
    """A message with the numbers of its enums in the place of their names."""
    schema = _resolved(described, schema)
    if isinstance(value, list):
        return [_numbered(described, schema, element, numbers_of) for element in value]
    if isinstance(value, Mapping):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        return {
            key: _numbered(described, inner, item, numbers_of) if (inner := properties.get(key, rest)) else item
            for key, item in value.items()
        }
    numbers = numbers_of.get(tuple(schema.get("enum", ())), {})
    return next((number for number, name in numbers.items() if name == value), value)
