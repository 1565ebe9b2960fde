"""Ends nodes whose files take more than they may, where the storage driver sees to no limit.

A node that is ended is made anew, without these files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from testbed.control.state.store import Store
from testbed.errors import TestbedError
from testbed.nodes.docker import DockerNodes

log = logging.getLogger("testbed.disks")
PERIOD = 5.0
"""Seconds between two looks."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limit:
    """A container, and what its files may take in bytes."""

    container: str
    disk: int


class DiskWatch:
    """Looks at the disks of one testbed's nodes, in a thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "disks")
        self._looking: Future[dict[str, int]] | None = None
        self._limits: Mapping[str, Limit] = {}
        self._next = 0.0

    def round(self, store: Store, nodes: DockerNodes, limits: Callable[[], Mapping[str, Limit]]) -> bool:
        """Tell of nodes that were ended, and begin to look again when it is time; says whether any was ended."""
        ended: Mapping[str, int] = {}
        if self._looking is not None:
            if not self._looking.done():
                return False
            ended = self._looking.result()
            for name, size in ended.items():
                allowed = self._limits[name].disk
                text = f"was ended: its files take {size // _MIB} MiB, and it may have {allowed // _MIB} MiB"
                store.events.add("node", name, text, used=size, limit=allowed)
            self._looking = None
        if time.monotonic() >= self._next and not nodes.has_quota:
            self._next = time.monotonic() + PERIOD
            self._limits = limits()
            self._looking = self._pool.submit(_ended, nodes, self._limits)
        return bool(ended)

    def close(self) -> None:
        """Look no more."""
        self._pool.shutdown(cancel_futures=True)


def _ended(nodes: DockerNodes, limits: Mapping[str, Limit]) -> dict[str, int]:
    """The nodes that had to be ended, with what their files took."""
    ended: dict[str, int] = {}
    for name, limit in limits.items():
        try:
            if (size := nodes.used(limit.container)) > limit.disk:
                nodes.kill(name)
                ended[name] = size
        except TestbedError as error:  # it has just been removed, or Docker does not answer now
            log.info("node %s: %s", name, error)
    return ended
