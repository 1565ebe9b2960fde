"""References in bodies: found by their paths, and written as full names or as links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.model.core.annotations import Path
from testbed.model.core.resource import Defaults, last, qualify


def qualified(path: Path, collection: str, known: Defaults, value: str) -> str:
    """The full name of what a field names.

    Raises:
        InvalidResource: it is not the name of something of that collection.
    """
    try:
        return qualify(value, collection, known)
    except ValueError as error:
        raise InvalidResource(path, value, f"the URL is malformed: {error}") from None


def present(plane: ControlPlane, path: Path, collection: str, known: Defaults, value: str) -> str:
    """The full name of what a field names, which is there.

    Raises:
        InvalidResource: it is not the name of something of that collection.
        NotFound: there is nothing of that name.
    """
    return plane.get(f"compute.{last(collection)}", qualified(path, collection, known, value)).name


def rewrite(body: Any, path: list[str], change: Callable[[str], str]) -> None:
    """Change the text, or the texts of a list, that a path leads to, if it is there; lists on the way are walked."""
    if isinstance(body, list):
        if path and path[0].isdigit():
            index = int(path[0])
            if len(path) == 1:
                body[index] = change(body[index])
            else:
                rewrite(body[index], path[1:], change)
            return
        for item in body:
            rewrite(item, path, change)
        return
    if not isinstance(body, dict) or path[0] not in body:
        return
    value = body[path[0]]
    if len(path) > 1:
        rewrite(value, path[1:], change)
    elif isinstance(value, str):
        body[path[0]] = change(value)
    elif isinstance(value, list):
        body[path[0]] = [change(item) if isinstance(item, str) else item for item in value]
