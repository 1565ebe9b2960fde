"""What a PATCH changes: field masks (AIP-134, AIP-161) and compute's JSON merge patch (RFC 7396).

The names of fields come in both spellings: `ipCidrRange` in JSON and `ip_cidr_range` in protocol buffers. Resources are
kept in the JSON spelling, so whatever a client sends is turned into that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from typing import Any

from testbed.errors import InvalidArgument
from testbed.json_object import Json

Path = tuple[str, ...]
"""A field of a resource, name by name: `("labels", "env")`."""
Known = Collection[str] | Callable[[str], bool]
"""The paths that a resource has (camelCase, dotted), or a function that knows them."""

EVERYTHING: Path = ("*",)
"""The mask that replaces the whole resource (AIP-134)."""

_SEGMENT = re.compile(r"`([^`]+)`|([^`.,\s]+)")
_FIELD = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def camel(name: str) -> str:
    """The JSON spelling of a field: `ip_cidr_range` is `ipCidrRange`; compute's `I_p_address` is `IPAddress`.

    A name that is in that spelling already is left alone.
    """
    return re.sub(r"(?<=.)_+([A-Za-z0-9])", lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    """The spelling of a field in protocol buffers: `ipCidrRange` is `ip_cidr_range`, `IPAddress` is `I_p_address`."""
    return re.sub(r"(?<=.)([A-Z])", lambda found: f"_{found[1].lower()}", name)


def paths(mask: str) -> tuple[Path, ...]:
    """The paths of a field mask in text form: separated by commas, keys with odd characters in backticks (AIP-161).

    The first name of each becomes camelCase; what follows may be the key of a map and is settled by `apply`.
    An empty mask has no paths. Raises InvalidArgument for anything else that is not a mask.
    """
    found: list[Path] = []
    at = 0
    while mask.strip():
        path, at = _path(mask, at)
        found.append(path)
        if at == len(mask):
            break
        at += 1  # the comma; another path must follow it
    if EVERYTHING in found and len(found) > 1:
        raise InvalidArgument("field mask: '*' stands for every field and cannot be listed with others")
    return tuple(dict.fromkeys(found))


def _path(mask: str, at: int) -> tuple[Path, int]:
    """The path that starts at `at`, and where it ends: at a comma or the end."""
    start, names = at, []
    at += len(mask[at:]) - len(mask[at:].lstrip())
    while segment := _SEGMENT.match(mask, at):
        names.append(segment[1] or segment[2])
        at = segment.end()
        if mask[at : at + 1] != ".":
            break
        at += 1
    at += len(mask[at:]) - len(mask[at:].lstrip())
    ended = at == len(mask) or mask[at] == ","
    if not names or not ended or mask[at - 1] == ".":
        raise InvalidArgument(f"field mask '{mask}': position {start} has no path of a field")
    if names == ["*"]:
        return EVERYTHING, at
    if "*" in names or not _FIELD.fullmatch(names[0]):
        raise InvalidArgument(f"field mask: '{'.'.join(names)}' is not the path of a field")
    return (camel(names[0]), *names[1:]), at


def apply(
    current: Mapping[str, Any],
    patch: Mapping[str, Any],
    mask: Iterable[Path],
    *,
    known: Known,
    output_only: Collection[str] = frozenset(),
) -> Json:
    """The resource after an update: each field of the mask as the patch has it, and gone where the patch lacks it.

    Without a mask, every field that the patch has is replaced ("an implied field mask equivalent to all fields that are
    populated", AIP-134; null is not populated). `*` replaces every field that is known. `output_only` fields (dotted)
    keep their value whatever is asked (AIP-161). Neither argument is changed. Raises InvalidArgument for a path that
    is not known and for one that leads into a list or a plain value: single elements of a list cannot be updated
    (AIP-161).
    """
    spelled = {camel(name): value for name, value in patch.items()}
    wanted = list(mask)
    if not wanted:
        wanted = [(name,) for name, value in spelled.items() if value is not None]
    elif EVERYTHING in wanted:
        # what is not known is not the client's to clear: it stays
        wanted = [(name,) for name in {**current, **spelled} if name in spelled or _is_known(known, (name,))]
    result: Json = deepcopy(dict(current))
    for path in wanted:
        if not _is_known(known, path):
            raise InvalidArgument(f"field mask: the resource has no field '{'.'.join(path)}'")
        _replace(result, spelled, path)
    for name in output_only:  # also those inside of what was replaced as a whole
        _replace(result, current, tuple(name.split(".")))
    return result


def _is_known(known: Known, path: Path) -> bool:
    """Whether there can be such a field: listed, above a listed one, or inside one whose inside is not listed."""
    spelled = [camel(name) if _FIELD.fullmatch(name) else name for name in path]
    names = ".".join(spelled)
    if callable(known):
        return known(names) or known(".".join(path))
    if any(names == one or one.startswith(f"{names}.") for one in known):
        return True
    above = [".".join(spelled[:length]) for length in range(1, len(path))]
    return any(one in known and not any(other.startswith(f"{one}.") for other in known) for one in above)


def _replace(target: Json, source: Mapping[str, Any] | None, path: Path) -> None:
    for depth, name in enumerate(path):
        if source is not None and not isinstance(source, Mapping):
            raise InvalidArgument(f"field mask: '{'.'.join(path[:depth])}' has no fields of its own")
        at = name if name in target or name in (source or {}) else camel(name)
        value = (source or {}).get(at)
        if depth == len(path) - 1:
            if value is None:
                target.pop(at, None)
            else:
                target[at] = deepcopy(value)
            return
        if target.get(at) is None:
            if value is None:  # nothing to clear
                return
            target[at] = {}
        if not isinstance(target[at], dict):
            raise InvalidArgument(f"field mask: '{'.'.join(path[: depth + 1])}' has no fields of its own")
        target, source = target[at], value


def merge(current: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """A resource after compute's PATCH: JSON merge patch (RFC 7396; "uses JSON merge patch format", compute v1).

    Objects are merged, lists and plain values replaced, null removes. Neither argument is changed.
    """
    result: Json = deepcopy(dict(current))
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            below = result.get(name)
            result[name] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = deepcopy(value)
    return result
