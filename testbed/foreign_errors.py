"""Errors of Python, files and SQLite as errors of ours.

What a disk refuses has words of its own: it is full, it cannot be written, or what lies on it is damaged.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from testbed.errors import Internal, ResourceExhausted, TestbedError, Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_VAGUE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""So SQLite also says that there is no room for the files which it makes beside a database."""
_ROOM = 1 << 16
"""Bytes that it may need for them."""


class Damaged(Unavailable):
    """The content of a file is not what was written there."""


def translated(error: BaseException) -> TestbedError:
    """An error of any kind as one of ours; one that nobody has thought of is Internal."""
    if isinstance(error, TestbedError):
        return error
    known = of_file(error) if isinstance(error, OSError) else None
    return known or Internal(f"{type(error).__name__}: {error}")


def of_file(error: OSError) -> TestbedError | None:
    """What it means that a file cannot be written (write(2), open(2)); None if the disk is not the cause."""
    if error.errno in _FULL:
        return _full(error.filename or "the state folder")
    if error.errno == errno.EROFS:
        return _read_only(error.filename or "the state folder")
    return None


def of_database(error: sqlite3.Error, file: Path) -> TestbedError | None:
    """What it means that SQLite cannot use a database (sqlite.org/rescode.html); None for a defect of ours."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where in SQLite
    if code == sqlite3.SQLITE_FULL or (code in _VAGUE and _has_no_room(file)):
        return _full(file)
    if code == sqlite3.SQLITE_READONLY or (code in _VAGUE and _is_read_only(file)):
        return _read_only(file)
    if code in _DAMAGED:
        return Damaged(
            f"file {file}: it is damaged: {error}", hint=f"remove it: testbed down --name {file.parent.name}"
        )
    if code in (*_VAGUE, *_IN_USE):
        return Unavailable(f"file {file}: it cannot be read or written now: {error}")
    return None


def _has_no_room(file: Path) -> bool:
    with suppress(OSError):
        disk = os.statvfs(file.parent)
        return disk.f_bavail * disk.f_frsize < _ROOM
    return False


def _is_read_only(file: Path) -> bool:
    with suppress(OSError):
        return bool(os.statvfs(file.parent).f_flag & os.ST_RDONLY)
    return False


def _full(place: object) -> ResourceExhausted:
    return ResourceExhausted(f"file {place}: the disk is full", hint="make room there, and try again")


def _read_only(place: object) -> Unavailable:
    return Unavailable(f"file {place}: the disk is read-only", hint="mount it so that it can be written, and try again")
