"""What has happened to a testbed, in order: a table of its store.

An event is told once, when it has happened; its number grows by one with each, so a reader knows whether it has missed
any.  The table is bounded: the oldest are forgotten.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import dataclass, field
from typing import Literal

from testbed.control.state.clock import Clock
from testbed.json_object import Json

Kind = Literal["topology", "operation", "instance", "node", "route", "fault", "clock"]
"""What has changed: a resource by an operation, say, or the health of a connector instance."""

log = logging.getLogger("testbed.events")

SCHEMA = """
    CREATE TABLE IF NOT EXISTS events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
        text TEXT NOT NULL, details TEXT NOT NULL);
"""
KEPT = 10_000
"""Events that are remembered."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened."""

    number: int
    at: float
    """Seconds since 1970, by the testbed's clock."""
    kind: Kind
    subject: str
    """The name of the resource, node, instance or route."""
    text: str
    """What became of it, as a person reads it after the subject: "is healthy"."""
    details: Json = field(default_factory=dict)
    """The same for programs, where there is more to say."""


class Events:
    """The table."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._db = connection
        self._clock = clock

    def add(self, kind: Kind, subject: str, text: str, **details: object) -> None:
        """Write down what has happened just now; the controller's log has it as well."""
        log.info("%s %s", subject, text)
        row = (self._clock.now(), kind, subject, text, json.dumps(details))
        number = self._db.execute(
            "INSERT INTO events (at, kind, subject, text, details) VALUES (?, ?, ?, ?, ?)", row
        ).lastrowid
        self._db.execute("DELETE FROM events WHERE number <= ? - ?", (number, KEPT))

    def after(self, number: int, limit: int = KEPT) -> list[Event]:
        """The first events after the one of a number, the oldest first."""
        rows = self._db.execute(
            "SELECT number, at, kind, subject, text, details FROM events WHERE number > ? ORDER BY number LIMIT ?",
            (number, limit),
        )
        return [
            Event(number, at, kind, subject, text, json.loads(details))
            for number, at, kind, subject, text, details in rows
        ]
