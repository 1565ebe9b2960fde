"""The layout of a state file: which tables it has, and what their columns mean.

A file of another layout was made by another version of the testbed, and is refused.  What `down` needs, the journal
and the facts, is the same in all of them.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from testbed.control.state.reading import reading
from testbed.errors import FailedPrecondition, NotFound

LAYOUT = 4
"""It is counted up with every change of a table.  Files of testbeds before the first number have none."""


def begin(connection: sqlite3.Connection, tables: str) -> None:
    """Make the tables, in a file that has none; somebody else may do the same at this moment."""
    if not _begun(connection):
        connection.executescript(f"BEGIN IMMEDIATE; {tables}; PRAGMA user_version = {LAYOUT}; COMMIT;")


def require(connection: sqlite3.Connection, name: str) -> None:
    """See that the layout of a testbed's file is this version's, if there is anything in it.

    Raises:
        FailedPrecondition: it is another one's.
    """
    if _begun(connection) and _number(connection) != LAYOUT:
        raise FailedPrecondition(
            f"testbed {name!r}: another version of testbed wrote its state, which this version cannot read",
            hint=f"remove it: testbed down --name {name}",
        )


def require_of(name: str) -> None:
    """See the same of a testbed by its name, without the machinery of the whole store; a file may be missing.

    Raises:
        FailedPrecondition: its layout is another version's.
        Unavailable: the file cannot be read, or is damaged.
    """
    with suppress(NotFound), reading(name) as connection:
        require(connection, name)


def _number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _begun(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
