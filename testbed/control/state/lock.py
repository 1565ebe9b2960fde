"""One writer at a time: the controller holds its testbed's lock as long as it runs, and `down` while it removes it.

A lock is a file in the testbed's folder.  It ends with its holder, however that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.control.state.folders import LOCK
from testbed.errors import NotFound, Unavailable

STARTING = 0
"""The holder of a lock that is no controller: one that has not written its number down yet, or a `down`."""
CONTENTION = 1.0
"""Seconds: a look at a lock (`holder`) takes it for a moment."""
_POLL = 0.05
_SIZE = 32


@contextmanager
def held(folder: Path, *, create: bool = False, patience: float = 0) -> Iterator[None]:
    """Hold a testbed's lock as its controller.  Raises as `take`."""
    descriptor = take(folder, create=create, patience=patience)
    try:
        sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def take(folder: Path, *, create: bool = False, patience: float = 0) -> int:
    """Take a testbed's lock; every process that has the descriptor, or inherits it, holds it.

    `patience` is how long to wait for another holder, in seconds.

    Raises:
        NotFound: if the folder is not there and `create` is false.
        Unavailable: if somebody else holds it for longer.
        OSError: if there is none yet, and the disk has no room for it.
    """
    began = time.monotonic()
    while True:
        descriptor = _open(folder, create=create)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, folder / LOCK):
                with suppress(OSError):  # a disk that cannot be written: a `down` has to work there
                    _write(descriptor, "")  # or it would name its last holder until the new one has signed
                return descriptor
            os.close(descriptor)  # a `down` removed the file while we waited for it
            continue
        except BlockingIOError:
            holder = _text(descriptor) or "unknown"
            os.close(descriptor)
        if time.monotonic() - began >= patience:
            raise Unavailable(
                f"testbed {folder.name!r}: another command (pid {holder}) is working on it",
                hint="wait for it, or end it",
            )
        time.sleep(_POLL)


def sign(descriptor: int, role: str = "") -> None:
    """Write down that this process holds the lock: as the controller, or in another role."""
    _write(descriptor, f"{role} {os.getpid()}".strip())


def holder(folder: Path) -> int | None:
    """The controller that holds a testbed's lock (perhaps STARTING), None if nobody does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = _text(descriptor)
        return int(text) if text.isdigit() else STARTING
    finally:
        os.close(descriptor)
    return None


def holders_of_lost(folder: Path) -> list[int]:
    """The controllers whose lock file was removed together with the folder: they do not know it yet."""
    lost = f"{folder / LOCK} (deleted)"  # proc_pid_fd(5)
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if lost in _open_files(process)]


def _open_files(process: Path) -> set[str]:
    try:
        return {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}
    except OSError:  # it has ended, or is another user's
        return set()


def _open(folder: Path, *, create: bool) -> int:
    while True:
        if create:
            with suppress(FileExistsError, FileNotFoundError):  # not `exist_ok`: that raises of a folder that goes
                folder.mkdir(mode=0o700, parents=True)
        try:
            return os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # a `down` may remove the folder between two lines of ours
            if not create:
                raise NotFound(f"testbed {folder.name!r}: not found", hint="start one: testbed up FILE") from None
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            return os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, text: str) -> None:
    """Always as many bytes in the same place, for which a full disk has room."""
    os.pwrite(descriptor, text.ljust(_SIZE).encode(), 0)


def _text(descriptor: int) -> str:
    return os.pread(descriptor, _SIZE, 0).decode().strip()
