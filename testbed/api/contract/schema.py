"""Reads JSON values by the schemas of a discovery document, as Google's servers do.

What a schema does not have is refused by name; what it has in another type that JSON clients send (an int64 as a
number, an enum by its number, a field in snake_case) is brought into the form that is printed; output-only fields are
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.api.contract.discovery import Document
from testbed.api.contract.masks import camel
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json

_INTEGERS = {"int32": 32, "uint32": 32, "int64": 64, "uint64": 64}
_OUTPUT = re.compile(
    r"""
    ^ \W? output\ only \b (?!\ for)                              # most documents
    | ^ (Deprecated\ )? (The\ )? read [ -] only \b (?!\ after)   # Cloud Run v1
    | [.\]] \s* ( \[output\ only\] | output\ only\. )            # Compute Engine in a text, Cloud DNS at its end
    | \(output\ only\) | @OutputOnly | \b read-only\.            # Cloud DNS, App Engine, Resource Manager
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""How descriptions say that a field is the server's."""
_DEEPEST = 64
"""Messages inside messages: more than any real one has, and less than would exhaust the interpreter."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """The reading of one body."""

    faults: list[str]
    nulls: bool
    """Whether null stays."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads values by the schemas of one API."""

    document: Document
    enums: Mapping[tuple[str, ...], Mapping[int, str]] = field(default_factory=dict)
    """Numbers of enums, by their names in order: some clients send numbers."""
    tolerant: bool = False
    """Whether fields that the schema does not know are passed over; most of Google's APIs refuse them."""

    def read(self, name: str, value: object, *, nulls: bool = False) -> Json:
        """A message by the name of its schema.

        A field that is null is left out, as if it had not been sent (ProtoJSON).  With `nulls` it stays, except in
        elements of lists: in a JSON merge patch it removes the field (RFC 7396).

        Raises:
            InvalidArgument: with every fault that it has, in Google's words.
        """
        reading = _Reading([], nulls)
        result = self._message(self.document.schemas[name], value, "", reading)
        if reading.faults:
            raise InvalidArgument(GoogleText("Invalid JSON payload received. " + "\n".join(reading.faults)))
        return result if isinstance(result, dict) else {}

    def _message(self, schema: Json, value: object, where: str, reading: _Reading) -> object:
        if not isinstance(value, Mapping):
            reading.faults.append(f"{_at(where)}: expected an object.")
            return {}
        if where.count(".") > _DEEPEST:
            reading.faults.append(f"{_at(where)}: nested too deeply.")
            return {}
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        result: Json = {}
        for key, item in value.items():
            known = key if key in properties else camel(key)
            path = f"{where}.{key}" if where else key
            if known in properties:
                found = properties[known]
                if is_output(found):
                    continue
                if item is not None:
                    result[known] = self._value(found, item, path, reading)
                elif reading.nulls:
                    result[known] = None
            elif rest is not None:
                removed = reading.nulls and item is None
                result[key] = None if removed else self._value(rest, item, path, reading)
            elif not key.startswith("$") and not self.tolerant:
                reading.faults.append(f'Unknown name "{key}"{f" {_at(where)}" if where else ""}: Cannot find field.')
        return result

    def _value(self, schema: Json, value: object, where: str, reading: _Reading) -> object:
        if "$ref" in schema:
            name = schema["$ref"]
            target = self.document.schemas[name]
            if target.get("type") == "object":
                return self._message(target, value, where, reading)
            return self._value(target, value, where, reading)
        kind = schema.get("type")
        if kind == "array":
            if not isinstance(value, list):
                reading.faults.append(f"{_at(where)}: expected a list.")
                return []
            items, inside = schema["items"], replace(reading, nulls=False)
            return [self._value(items, item, f"{where}[{i}]", inside) for i, item in enumerate(value)]
        if kind == "object":
            return self._message(schema, value, where, reading)
        return value if kind == "any" else self._scalar(schema, value, where, reading)

    def _scalar(self, schema: Json, value: object, where: str, reading: _Reading) -> object:
        kind, form = schema.get("type"), schema.get("format", "")
        if "enum" in schema and kind == "string":
            return self._enum(schema, value, where, reading)
        read = {"string": _text, "integer": _integer, "number": _number, "boolean": _boolean}[str(kind)]
        result = read(value, form)
        if result is None:
            reading.faults.append(f"Invalid value {_at(where)} ({_type(schema)}), {_shown(value)}")
        return result

    def _enum(self, schema: Json, value: object, where: str, reading: _Reading) -> object:
        names: list[str] = schema["enum"]
        if isinstance(value, int) and not isinstance(value, bool):
            number = self.enums.get(tuple(names), dict(enumerate(names))).get(value)
            if number is not None:
                return number
        if value not in names:
            reading.faults.append(f"Invalid value {_at(where)} (TYPE_ENUM), {_shown(value)}")
        return value


def is_output(schema: Json) -> bool:
    """Whether a field is the server's to say, as its discovery document marks it or words it.

    Words that make it so for some resources only ("Output only for PARTNER type") do not.
    """
    return bool(schema.get("readOnly") or _OUTPUT.search(schema.get("description", "")))


def faults_in(document: Document, name: str, value: object) -> list[str]:
    """How a value that is printed differs from its schema: for tests of what the server answers."""
    return list(_differences(document, document.schemas[name], value, name))


def _differences(document: Document, schema: Json, value: object, where: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = document.schemas[schema["$ref"]]
    kind = schema.get("type")
    if kind == "object" and isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for key, item in value.items():
            inner = properties.get(key, rest)
            if inner is None:
                yield f"{where}.{key}: not in the schema"
            else:
                yield from _differences(document, inner, item, f"{where}.{key}")
    elif kind == "array" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _differences(document, schema["items"], item, f"{where}[{index}]")
    elif kind != "any" and not isinstance(value, _PRINTED.get(str(kind), dict)):
        yield f"{where}: {value!r} is not {kind}"
    elif kind == "string" and "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"


_PRINTED: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def _text(value: object, form: str) -> object:
    if form in _INTEGERS:
        number = _integer(value, form)
        return None if number is None else str(number)
    return value if isinstance(value, str) else None


def _integer(value: object, form: str) -> int | None:
    if isinstance(value, str) and (value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()):
        value = int(value) if len(value) <= 20 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    bits = _INTEGERS.get(form, 64)
    low, high = (0, 2**bits) if form.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return value if low <= value < high else None


def _number(value: object, _: str) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: object, _: str) -> bool | None:
    return value if isinstance(value, bool) else None


def _type(schema: Json) -> str:
    return f"TYPE_{schema.get('format', schema['type'])}".upper()


def _at(where: str) -> str:
    return f"at '{where}'" if where else "at the top"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)[:80]
