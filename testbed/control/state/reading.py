"""Reads a testbed's state file without the machinery of the whole store: nothing of it is made or changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from testbed.control.state.folders import FILE, folder_of


@contextmanager
def reading(name: str) -> Iterator[sqlite3.Connection]:
    """A connection that only reads.

    Raises:
        sqlite3.Error: there is no such file, or it cannot be read.
    """
    uri = f"{(folder_of(name) / FILE).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, timeout=10, uri=True)) as connection:
        yield connection
