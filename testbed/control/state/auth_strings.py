"""The AUTH strings of Redis instances: a table of the testbed's store."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable

SCHEMA = """
    CREATE TABLE IF NOT EXISTS auth_strings (instance TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class AuthStrings:
    """The table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self) -> dict[str, str]:
        """The AUTH strings, by the resource names of the instances."""
        return dict(self._db.execute("SELECT instance, value FROM auth_strings"))

    def ensure(self, instances: Iterable[str]) -> None:
        """Generate AUTH strings (UUIDs in Google's case; 128 random bits here) for Redis instances that have none.

        Those of all other instances are forgotten: one that is made anew, or gets AUTH again, has another.
        """
        rows = {name: secrets.token_hex(16) for name in instances}
        gone = [(name,) for name in self.all() if name not in rows]
        self._db.executemany("DELETE FROM auth_strings WHERE instance = ?", gone)
        self._db.executemany("INSERT OR IGNORE INTO auth_strings VALUES (?, ?)", rows.items())
