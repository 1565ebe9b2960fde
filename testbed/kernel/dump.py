"""What one namespace has of links, addresses, qdiscs, neighbours, nexthops, routes and rules, as the kernel tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Message(Protocol):
    """One object of the kernel, as pyroute2 decodes it."""

    def get(self, name: str | tuple[str, ...], default: Any = None, /) -> Any:
        """An attribute, named without its prefix, or else the field of that name; a path for a nested attribute."""

    def __getitem__(self, field: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Dump:
    """What one namespace has; of addresses, neighbours, routes and rules only those of IPv4."""

    links: Sequence[Message]
    addresses: Sequence[Message]
    qdiscs: Sequence[Message]
    """Those of all devices, and those inside of others."""
    classes: Sequence[Message]
    """Of devices that have a discipline of ours."""
    neighbours: Sequence[Message]
    nexthops: Sequence[Message]
    routes: Sequence[Message]
    rules: Sequence[Message]
