"""Reads a testbed's state file without the machinery of the whole store: nothing of it is made or changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from testbed.control.state.database import Database, connect
from testbed.control.state.folders import FILE, folder_of
from testbed.errors import NotFound, ResourceExhausted, Unavailable
from testbed.foreign_errors import Damaged


@contextmanager
def reading(name: str) -> Iterator[Database]:
    """A connection that only reads.

    Raises:
        NotFound: there is no such testbed, or an `up` has only begun to make it, or a `down` is removing it.
        Unavailable: the file cannot be read, or is damaged.
    """
    file, missing = folder_of(name) / FILE, NotFound(f"testbed {name!r}: not found")
    try:
        connection = _opened(file)
    except (ResourceExhausted, Unavailable):
        if file.exists():
            raise
        raise missing from None
    with closing(connection):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise missing  # it is being made
        yield connection


def _opened(file: Path) -> Database:
    try:
        return _tried(file, "mode=ro")
    except Damaged:
        raise
    except (ResourceExhausted, Unavailable):
        # SQLite writes a file of its own even to read, which no full or read-only disk lets it make.  It makes none
        # for a file that nobody writes; where a controller runs, SQLite's file is there, and this line is not reached.
        return _tried(file, "mode=ro&immutable=1")


def _tried(file: Path, mode: str) -> Database:
    connection = connect(file, mode)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
