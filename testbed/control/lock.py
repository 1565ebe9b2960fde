"""One writer at a time: commands and the controller take a testbed's lock before they change anything."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import Unavailable

WRITER = "lock"
CONTROLLER = "controller.lock"
_POLL = 0.05


@contextmanager
def held(
    folder: Path, file: str = WRITER, *, patience: float = 0, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold a lock in a testbed's folder; it ends with the process, however that ends.

    `patience` is how long to wait for another holder, in seconds; `waiting` is told once who that is.

    Raises:
        Unavailable: if somebody else holds it for longer.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, folder, patience, waiting)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path, patience: float, waiting: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode() or "unknown"
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"another command (pid {holder}) is working on testbed {folder.name!r}", hint="wait, or end it"
                ) from None
            if waiting and not told:
                waiting(f"waiting for another command (pid {holder}) that works on this testbed")
                told = True
            time.sleep(_POLL)
        else:
            return


def holder(folder: Path, file: str) -> int | None:
    """The process that holds a lock, None if nobody does."""
    try:
        descriptor = os.open(folder / file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
