"""Where a filter looks in a resource: names that are joined by dots, through objects and (for `:`) through lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from testbed.api.contract.masks import camel

Path = tuple[str, ...]


def member(holder: Mapping[str, Any], name: str) -> Any:
    """What an object has under a name in either spelling; None if it is not set.

    The name as written comes first: the keys of a map (labels) are the user's, and not to be respelled.
    """
    return holder[name] if name in holder else holder.get(camel(name))


def parent(resource: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """The object whose member the path names; None if something on the way is not set, or is no object.

    "The `.` operator must not be used to traverse through a repeated field" except with `:` (AIP-160), hence no list.
    """
    holder = resource
    for name in path[:-1]:
        holder = member(holder, name)
        if not isinstance(holder, Mapping):
            return None
    return holder


def leaves(resource: Mapping[str, Any], path: Path) -> Iterator[Any]:
    """All values that a path leads to, each element of a list on the way followed: AIP-160's `r.foo:42`."""
    level: list[Any] = [resource]
    for name in path:
        holders = [one for found in level for one in (found if isinstance(found, list) else [found])]
        level = [member(holder, name) for holder in holders if isinstance(holder, Mapping)]
    yield from level


def texts(resource: Mapping[str, Any]) -> Iterator[Any]:
    """Every plain value of a resource, at any depth."""
    rest: list[Any] = [resource]
    while rest:
        value = rest.pop()
        if isinstance(value, Mapping):
            rest += value.values()
        elif isinstance(value, list):
            rest += value
        elif value is not None:
            yield value
