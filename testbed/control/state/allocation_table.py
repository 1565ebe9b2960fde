"""The addresses, ranges and names that were given out: a table of the testbed's store.

The fields of keys are its columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from testbed.control.state.transaction import transaction
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, Key, NameKey, RangeKey

SCHEMA = """
    CREATE TABLE IF NOT EXISTS allocations (
        kind TEXT, use TEXT, owner TEXT, part TEXT, revision TEXT, number INTEGER, value TEXT NOT NULL,
        PRIMARY KEY (kind, use, owner, part, revision, number));
    CREATE TABLE IF NOT EXISTS allocations_version (number INTEGER NOT NULL);
    INSERT INTO allocations_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM allocations_version);
"""


class AllocationTable:
    """The table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._read: tuple[int, Allocations] = -1, Allocations()

    def all(self) -> Allocations:
        """What was given out.  It is read once per change: every view of a resource in a long list asks for it."""
        version = int(self._db.execute("SELECT number FROM allocations_version").fetchone()[0])
        if self._read[0] != version:
            self._read = version, self._all()
        return self._read[1]

    def replace(self, given: Allocations) -> None:
        """Put this in the place of what was given out."""
        with transaction(self._db):
            self._db.execute("DELETE FROM allocations")
            self._db.executemany("INSERT INTO allocations VALUES (?, ?, ?, ?, ?, ?, ?)", _rows(given))
            self._db.execute("UPDATE allocations_version SET number = number + 1")

    def names(self) -> set[str]:
        """The names that were given out."""
        return {row[0] for row in self._db.execute("SELECT value FROM allocations WHERE kind = 'name'")}

    def _all(self) -> Allocations:
        addresses, ranges, names = dict[AddressKey, str](), dict[RangeKey, str](), dict[NameKey, str]()
        for kind, *key, value in self._db.execute("SELECT * FROM allocations ORDER BY rowid"):
            match kind:
                case "address":
                    addresses[AddressKey(*key)] = value
                case "range":
                    ranges[RangeKey(*key)] = value
                case _:
                    names[NameKey(*key)] = value
        return Allocations(addresses, ranges, names)


def _rows(given: Allocations) -> Iterator[tuple[str, str, str, str, str, int, str]]:
    yield from (("address", *_columns(key), value) for key, value in given.addresses.items())
    yield from (("range", *_columns(key), value) for key, value in given.ranges.items())
    yield from (("name", *_columns(key), value) for key, value in given.names.items())


def _columns(key: Key) -> tuple[str, str, str, str, int]:
    return key.use, key.owner, key.part, key.revision, key.number
