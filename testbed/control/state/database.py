"""Opens a database of a testbed; what the disk refuses is an error of ours, wherever it happens."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import foreign_errors

_PATIENCE = 10.0
"""Seconds that a write waits for another one's end."""


class Database(sqlite3.Connection):
    """A connection in autocommit mode, for any thread.

    Raises:
        ResourceExhausted: (any statement) the disk is full.
        Unavailable: (any statement) the file cannot be read or written, or is damaged.
    """

    file = Path()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Carry out a statement."""
        with _errors(self.file):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Carry out a statement for each of the parameters."""
        with _errors(self.file):
            return super().executemany(sql, parameters)

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        """Carry out several statements."""
        with _errors(self.file):
            return super().executescript(script)


def connect(file: Path, mode: str = "mode=rw") -> Database:
    """Open a file that is there already; by default it is to be read and written (sqlite.org/uri.html).

    Raises:
        Unavailable: it is not there, or cannot be opened.
    """
    uri = f"{file.absolute().as_uri()}?{mode}"  # it is never made here, where others could read it
    with _errors(file):
        found = sqlite3.connect(
            uri, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=True, factory=Database
        )
    found.file = file
    return found


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if (known := foreign_errors.of_database(error, file)) is None:
            raise
        raise known from error
