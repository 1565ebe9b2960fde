"""Connectors and their instances, as they are now: tables of the testbed's store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from testbed.control.state.allocation_table import AllocationTable
from testbed.fabric.allocation.running import ConnectorInstance, ConnectorState, Health
from testbed.fabric.allocation.short_names import free_serial

SCHEMA = """
    CREATE TABLE IF NOT EXISTS connectors (name TEXT PRIMARY KEY, state TEXT NOT NULL, serial INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS instances (
        name TEXT PRIMARY KEY, connector TEXT NOT NULL, address TEXT NOT NULL, health TEXT NOT NULL,
        machine_type TEXT NOT NULL);
"""


class Connectors:
    """The tables."""

    def __init__(self, connection: sqlite3.Connection, allocations: AllocationTable) -> None:
        self._db = connection
        self._allocations = allocations

    # -- connectors -----------------------------------------------------------------------------------------------

    def states(self) -> dict[str, ConnectorState]:
        """The state of each connector."""
        return dict(self._db.execute("SELECT name, state FROM connectors"))

    def set_ready(self, connector: str) -> None:
        """Write down that a connector is READY, from now on."""
        self._db.execute(
            "INSERT INTO connectors VALUES (?, 'READY', 0) ON CONFLICT (name) DO UPDATE SET state = 'READY'",
            (connector,),
        )

    def forget(self, connectors: Iterable[str]) -> None:
        """Forget connectors that are no part of the network any more, and their instances."""
        rows = [(name,) for name in connectors]
        self._db.executemany("DELETE FROM instances WHERE connector = ?", rows)
        self._db.executemany("DELETE FROM connectors WHERE name = ?", rows)

    def next_serial(self, connector: str) -> int:
        """A number that no instance has, and with which it is called as no other node is.

        Connectors of two regions may have the same short name, a VM the name of an instance.
        """
        self._db.execute("INSERT OR IGNORE INTO connectors VALUES (?, 'CREATING', 0)", (connector,))
        serial = int(self._db.execute("SELECT max(serial) + 1 FROM connectors").fetchone()[0])
        serial = free_serial(connector, serial, self._allocations.names())
        self._db.execute("UPDATE connectors SET serial = ? WHERE name = ?", (serial, connector))
        return serial

    # -- instances ------------------------------------------------------------------------------------------------

    def instances(self) -> tuple[ConnectorInstance, ...]:
        """All connector instances, in the order of their names."""
        rows = self._db.execute("SELECT name, connector, address, health, machine_type FROM instances ORDER BY name")
        return tuple(ConnectorInstance(*row) for row in rows)

    def add(self, instances: Iterable[ConnectorInstance]) -> None:
        """Add instances."""
        rows = [(i.name, i.connector, i.address, i.health, i.machine_type) for i in instances]
        self._db.executemany("INSERT INTO instances VALUES (?, ?, ?, ?, ?)", rows)

    def remove(self, instances: Iterable[str]) -> None:
        """Remove instances by name."""
        self._db.executemany("DELETE FROM instances WHERE name = ?", [(name,) for name in instances])

    def replace(self, pairs: Iterable[tuple[ConnectorInstance, ConnectorInstance]]) -> None:
        """Put new instances (each second) in the place of others."""
        pairs = list(pairs)
        self.remove(old.name for old, _ in pairs)
        self.add(new for _, new in pairs)

    def set_health(self, health: Mapping[str, Health]) -> None:
        """Write down what the health checks found, by instance name."""
        rows = [(value, name) for name, value in health.items()]
        self._db.executemany("UPDATE instances SET health = ? WHERE name = ?", rows)
