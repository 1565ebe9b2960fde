"""Metadata as a tree of directories and values, and how they are printed: as text, or as JSON in camelCase."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DASH = re.compile(r"-([a-z])")


@dataclass(frozen=True, slots=True)
class Lines:
    """A value of several words: in text, one on each line."""

    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """A value of several words, which is JSON in text, too."""

    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Made:
    """An entry that is made for each caller: its directory lists it, and a recursive listing leaves it out."""

    what: str


class Given(dict[str, "Entry"]):
    """A directory whose names are the user's own: they are never changed."""


Entry = str | int | Lines | Listed | Made | Mapping[str, "Entry"] | Sequence["Entry"]
"""A mapping is a directory, as is a sequence, whose names are numbers."""


def children(entry: Entry) -> Mapping[str, Entry] | None:
    """What is in a directory; None of a value."""
    if isinstance(entry, Mapping):
        return entry
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        return {str(index): one for index, one in enumerate(entry)}
    return None


def find(root: Entry, path: Sequence[str]) -> Entry | None:
    """What is at a path, if anything is."""
    found: Entry | None = root
    for name in path:
        inside = children(found) if found is not None else None
        found = inside.get(name) if inside is not None else None
    return found


def text(entry: Entry) -> str:
    """A value as text; a directory as the list of what is in it."""
    inside = children(entry)
    if inside is not None:
        return "".join(f"{name}/\n" if children(one) is not None else f"{name}\n" for name, one in inside.items())
    match entry:
        case Lines():
            return "".join(f"{word}\n" for word in entry.words)
        case Listed():
            return json.dumps(list(entry.words), separators=(",", ":"))
        case _:
            return str(entry)


def everything(entry: Entry) -> str:
    """All values below a directory as text: a line each, with the path to it."""
    return "".join(f"{'/'.join(path)} {line}\n" for path, line in _values(entry, ()))


def _values(entry: Entry, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    inside = children(entry)
    if inside is not None:
        for name, one in inside.items():
            yield from _values(one, (*path, name))
    elif not isinstance(entry, Made):
        for line in text(entry).splitlines() or [""]:
            yield path, line


def as_json(entry: Entry) -> str:
    """A value, or all of a directory."""
    return json.dumps(_plain(entry), separators=(",", ":"))


def _plain(entry: Entry) -> Any:
    match entry:
        case Mapping():
            given = isinstance(entry, Given)
            kept = ((name, one) for name, one in entry.items() if not isinstance(one, Made))
            return {name if given else _camel(name): _plain(one) for name, one in kept}
        case str() | int():
            return entry
        case Lines() | Listed():
            return list(entry.words)
        case Made():
            return None
        case _:
            return [_plain(one) for one in entry]


def _camel(name: str) -> str:
    return _DASH.sub(lambda found: found[1].upper(), name)
