"""The routes that BGP has brought, as they were seen last: a table of the testbed's store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from testbed.control.state.transaction import transaction
from testbed.fabric.allocation.running import LearnedRoute

SCHEMA = """
    CREATE TABLE IF NOT EXISTS learned (node TEXT NOT NULL, destination TEXT NOT NULL, priority INTEGER NOT NULL);
"""


class LearnedRoutes:
    """The table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self) -> tuple[LearnedRoute, ...]:
        """The routes, in order."""
        rows = self._db.execute("SELECT node, destination, priority FROM learned ORDER BY node, destination, priority")
        return tuple(LearnedRoute(*row) for row in rows)

    def replace(self, routes: Iterable[LearnedRoute]) -> None:
        """Put these in the place of those that were seen before."""
        rows = [(route.node, route.destination, route.priority) for route in routes]
        with transaction(self._db):
            self._db.execute("DELETE FROM learned")
            self._db.executemany("INSERT INTO learned VALUES (?, ?, ?)", rows)
