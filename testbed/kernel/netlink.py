"""The one way to the kernel's links, addresses, neighbours, nexthops, routes and rules: netlink, spoken by pyroute2.

This module is what others import; the socket's is imported on first use, as pyroute2 takes a tenth of a second, which
commands that leave the kernel alone should not cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from testbed.kernel.change import KernelStep

if TYPE_CHECKING:
    from testbed.kernel.rtnetlink import Socket


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
    neighbours: Sequence[Message]
    nexthops: Sequence[Message]
    routes: Sequence[Message]
    rules: Sequence[Message]


def read() -> Dump:
    """Reads the namespace of the calling thread."""
    with closing(_socket()) as socket:
        return socket.dump()


def perform(steps: Sequence[KernelStep]) -> None:
    """Does the steps in the namespace of the calling thread, up to the first that the kernel refuses (Internal)."""
    with closing(_socket()) as socket:
        for step in steps:
            socket.perform(step)


def _socket() -> Socket:
    from testbed.kernel.rtnetlink import Socket  # noqa: PLC0415

    return Socket()
