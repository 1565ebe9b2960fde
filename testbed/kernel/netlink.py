"""The one way to the kernel's links, addresses, neighbours, nexthops, routes and rules: netlink, spoken by pyroute2.

This module is what others import; the socket's is imported on first use, as pyroute2 takes a tenth of a second, which
commands that leave the kernel alone should not cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from testbed.kernel.change import KernelStep
from testbed.kernel.dump import Dump

if TYPE_CHECKING:
    from testbed.kernel.rtnetlink import Socket

_LOOPBACK = 1
"""The number of the loopback device in each namespace."""


def read() -> Dump:
    """Reads the namespace of the calling thread."""
    with closing(_socket()) as socket:
        return socket.dump()


def perform(steps: Sequence[KernelStep]) -> None:
    """Does the steps in the namespace of the calling thread, up to the first that the kernel refuses (Internal)."""
    with closing(_socket()) as socket:
        for step in steps:
            socket.perform(step)


def set_alias(text: str) -> None:
    """Writes a text of at most 255 bytes (IFALIASZ) into the loopback device of the calling thread's namespace."""
    with closing(_socket()) as socket:
        socket.link("set", index=_LOOPBACK, ifalias=text)


def alias() -> str:
    """The text that `set_alias` has left in the namespace of the calling thread; empty if it has not."""
    with closing(_socket()) as socket:
        [link] = socket.get_links(_LOOPBACK)
        return str(link.get_attr("IFLA_IFALIAS") or "")


def _socket() -> Socket:
    from testbed.kernel.rtnetlink import Socket  # noqa: PLC0415

    return Socket()
