"""Writes that happen together, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All writes inside happen together, or none of them.  One transaction inside of another is a part of it."""
    if _is_open(connection):
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if _is_open(connection):  # SQLite takes it back itself where the disk is full
            connection.execute("ROLLBACK")
        raise


def _is_open(connection: sqlite3.Connection) -> bool:
    return connection.in_transaction
