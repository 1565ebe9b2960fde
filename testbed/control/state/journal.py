"""The journal: what may exist on the host.  A table of the testbed's store.

A thing is written down before it is made, and struck out when it is gone.  So whatever there is stands here, whenever
the program ended, and `down` finds it.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

Kind = Literal["container", "namespace"]

SCHEMA = """
    CREATE TABLE IF NOT EXISTS journal (kind TEXT, name TEXT, PRIMARY KEY (kind, name));
"""


class Journal:
    """The table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def record(self, kind: Kind, *things: str) -> None:
        """Write down, before it is made, what is about to be made (its name on the host)."""
        self._db.executemany("INSERT OR IGNORE INTO journal VALUES (?, ?)", [(kind, name) for name in things])

    def strike(self, kind: Kind, *things: str) -> None:
        """Strike out what is gone."""
        self._db.executemany("DELETE FROM journal WHERE kind = ? AND name = ?", [(kind, name) for name in things])

    def recorded(self, kind: Kind) -> set[str]:
        """The things of a kind that may exist on the host."""
        return {row[0] for row in self._db.execute("SELECT name FROM journal WHERE kind = ?", (kind,))}
