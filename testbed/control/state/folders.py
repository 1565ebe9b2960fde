"""Where the state of each testbed lies."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from testbed.errors import InvalidArgument
from testbed.model.core.names import COMPUTE_NAME, LONGEST_TESTBED
from testbed.paths import client_folder, state_root

FILE = "state.db"
"""The testbed exists as long as this file does."""
FILES = (f"{FILE}-shm", f"{FILE}-wal", FILE)
"""SQLite's."""
LOCK = "lock"
_IN_USE = (errno.ENOTEMPTY, errno.ENOENT, errno.EBUSY)
KEPT = "loads"
"""The folder in which testbeds of an older layout have the reports of load tests: results outlive the testbed."""


def folder_of(name: str) -> Path:
    """The state folder of a testbed.

    Raises:
        InvalidArgument: if no testbed can be called that.
    """
    if len(name) > LONGEST_TESTBED or not COMPUTE_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not the name of a testbed: it has at most {LONGEST_TESTBED} lower-case letters, digits and"
            " hyphens, and begins with a letter"
        )
    return state_root() / name


def names() -> list[str]:
    """The testbeds that have state on this machine."""
    root = state_root()
    return sorted(path.parent.name for path in root.glob(f"*/{FILE}")) if root.is_dir() else []


def exists(name: str) -> bool:
    """Whether there is a testbed of this name, finished or not."""
    return (folder_of(name) / FILE).exists()


def clear(folder: Path) -> None:
    """Remove a testbed's folder, whose lock is held; the reports of load tests are kept.

    The state goes after everything else, so that a `down` that is killed can be repeated.  The lock goes last: a
    process that waits for it begins anew.
    """
    last = (*FILES, LOCK)
    _remove(client_folder(folder.name))
    for entry in folder.iterdir():
        if entry.name not in (*last, KEPT):
            _remove(entry)
    for name in last:
        (folder / name).unlink(missing_ok=True)
    for empty in (folder, client_folder(folder.name).parent, folder.parent):
        try:
            empty.rmdir()
        except OSError as error:
            if error.errno not in _IN_USE:  # reports, the lock of one that begins anew, other testbeds
                raise


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a command that only looks may still make or remove some."""
    while os.path.lexists(path):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
