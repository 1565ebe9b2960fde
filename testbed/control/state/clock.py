"""The testbed's clock: that of the machine, put forward as often as somebody asked for it.

Everything that waits for minutes or hours by Google's rules waits by it (`--operation-delay`, for one), and so do the
times that APIs and events tell.  Time-outs of the testbed's own (health checks, retries) go by the machine's.
"""

from __future__ import annotations

import sqlite3
import time

from testbed.errors import InvalidArgument

SCHEMA = """
    CREATE TABLE IF NOT EXISTS clock (ahead REAL NOT NULL);
    INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
"""
LONGEST = 366 * 86400.0
"""Seconds that it can be put forward at once: a longer time is a slip of the pen."""


class Clock:
    """The clock of one testbed; it never goes back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @property
    def ahead(self) -> float:
        """Seconds by which it is ahead of the machine's."""
        return float(self._db.execute("SELECT ahead FROM clock").fetchone()[0])

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        """Put it forward.

        Raises:
            InvalidArgument: by nothing, back, or by more than a year.
        """
        if not 0 < seconds <= LONGEST:
            raise InvalidArgument(f"clock: cannot be put forward by {seconds:g} s", hint="from 1 ms to 366 days")
        self._db.execute("UPDATE clock SET ahead = ahead + ?", (seconds,))
