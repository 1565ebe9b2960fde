"""Finds the values in a resource whose fields carry an annotation, such as `Reference`, and where they stand."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_args

from pydantic.fields import FieldInfo

from testbed.model.core.resource import Resource

Path = tuple[str | int, ...]
"""Keys and indices, from the topology inwards."""

Mark = TypeVar("Mark")


class Found(NamedTuple, Generic[Mark]):
    """A value, where it stands, and the annotation that it was found by."""

    path: Path
    mark: Mark
    value: str


def annotated(resource: Resource, kind: type[Mark], path: Path = ()) -> Iterator[Found[Mark]]:
    """Every text below a resource whose field carries an annotation of this kind."""
    for name, key, mark in _fields(type(resource), cast(Hashable, kind)):
        yield from _annotated(getattr(resource, name), mark, kind, (*path, key))


def _annotated(value: Any, mark: Mark | None, kind: type[Mark], path: Path) -> Iterator[Found[Mark]]:
    if isinstance(value, Resource):
        yield from annotated(value, kind, path)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _annotated(item, mark, kind, (*path, index))
    elif isinstance(value, str) and mark is not None:
        yield Found(path, mark, value)


def message_in(resource: type[Resource], key: str | int) -> type[Resource] | None:
    """The kind of message that a field of a resource holds, one or a list of them."""
    fields = (field for name, field in resource.model_fields.items() if key == (field.alias or name))
    parts = (part for field in fields for part in _parts(field.annotation))
    return next((part for part in parts if isinstance(part, type) and issubclass(part, Resource)), None)


@cache
def _fields(resource: type[Resource], kind: Hashable) -> tuple[tuple[str, str, Any], ...]:
    """The fields of a kind of message that carry an annotation or lead to one: ours, the API's name, the annotation.

    A topology is walked at each change; what leads nowhere is left out once and for all.
    """
    found = ((name, field.alias or name, field) for name, field in resource.model_fields.items())
    return tuple((name, key, _mark(field, cast(type, kind))) for name, key, field in found if _leads(field, kind))


def _leads(field: FieldInfo, kind: Any) -> bool:
    messages = (part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, Resource))
    return _mark(field, kind) is not None or any(_fields(message, kind) for message in messages)


def _mark(field: FieldInfo, kind: type[Mark]) -> Mark | None:
    parts = (*field.metadata, *_parts(field.annotation))
    return next((part for part in parts if isinstance(part, kind)), None)


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and all that it is made of: `X`, `M` and `None` in `Annotated[X, M] | None`."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
