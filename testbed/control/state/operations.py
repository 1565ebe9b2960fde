"""Operations: changes that were accepted, and what has become of them.  A table of the testbed's store.

Whatever is accepted stands here before the caller is told so, with all that is needed to carry it out: a controller
that starts anew goes on from here.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from testbed.control.state.clock import Clock
from testbed.json_object import Json

SCHEMA = """
    CREATE TABLE IF NOT EXISTS operations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, api TEXT NOT NULL, method TEXT NOT NULL,
        kind TEXT NOT NULL, target TEXT NOT NULL, principal TEXT NOT NULL, changes TEXT NOT NULL, facts TEXT NOT NULL,
        request TEXT, accepted REAL NOT NULL, due REAL NOT NULL, ended REAL, error TEXT, result TEXT);
    CREATE INDEX IF NOT EXISTS open_operations ON operations (number) WHERE ended IS NULL;
    CREATE UNIQUE INDEX IF NOT EXISTS requests ON operations (request) WHERE request IS NOT NULL;
"""
OVERTAKEN: Json = {"code": 10, "message": "resource: `testbed up` changed it before the operation was done"}
"""What an operation ends with (ABORTED, our choice) if a topology file says otherwise than it: the file wins."""
KEPT = 10_000
"""Operations that are remembered; of more, the oldest finished ones are forgotten (our choice)."""
_COLUMNS = (
    "number, id, api, method, kind, target, principal, changes, facts, request, accepted, due, ended, error, result"
)


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A resource that gets a new body, or (None) is deleted."""

    kind: str
    name: str
    body: Json | None
    previous: Json | None = None
    """The body that was in effect when the change was accepted: what a failure goes back to.  None: there was none."""

    @property
    def creates(self) -> bool:
        """Whether the resource comes into being by it."""
        return self.body is not None and self.previous is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One accepted call that takes time."""

    api: str
    """The version of the API: `compute.v1`."""
    method: str
    """The method's id: `compute.firewalls.insert`."""
    kind: str
    target: str
    """The resource that it is about, as `kind` and full name."""
    principal: str = ""
    changes: tuple[ResourceChange, ...] = ()
    facts: Json = field(default_factory=dict)
    """What its API needs to print it."""
    request: str | None = None
    """The caller's `requestId`, with what makes it unique: the same request again is the same operation."""
    id: str = ""
    number: int = 0
    accepted: float = 0.0
    """Seconds since 1970 by the testbed's clock, as all times here."""
    due: float = 0.0
    """When it may take effect, at the earliest: with --operation-delay, later than it was accepted."""
    ended: float | None = None
    error: Json | None = None
    """A `google.rpc.Status`."""
    result: Json | None = None
    """What its API answers as the response, where that is not the target."""

    @property
    def done(self) -> bool:
        """Whether it has come to its end, good or bad."""
        return self.ended is not None


def new_id(now: float) -> str:
    """An id in the shape of Google's (behaviour 1.7.3)."""
    digits = secrets.token_hex(14)
    return f"operation-{int(now * 1000)}-{digits[:13]}-{digits[13:21]}-{digits[20:28]}"


class Operations:
    """The table of operations."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._db = connection
        self._clock = clock

    def add(self, operation: Operation, *, delay: float = 0.0) -> Operation:
        """Write down an operation that is accepted now and due after `delay` seconds."""
        now = self._clock.now()
        changes = [[change.kind, change.name, change.body, change.previous] for change in operation.changes]
        name = operation.id or new_id(now)
        self._db.execute(
            "INSERT INTO operations (id, api, method, kind, target, principal, changes, facts, request, accepted, due,"
            " result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                name,
                operation.api,
                operation.method,
                operation.kind,
                operation.target,
                operation.principal,
                json.dumps(changes),
                json.dumps(operation.facts),
                operation.request,
                now,
                now + delay,
                operation.result and json.dumps(operation.result),
            ),
        )
        self._db.execute(
            "DELETE FROM operations WHERE ended IS NOT NULL AND number <= (SELECT max(number) FROM operations) - ?",
            (KEPT,),
        )
        return next(self._where("id = ?", name))

    def get(self, name: str) -> Operation | None:
        """An operation by its id."""
        return next(self._where("id = ?", name), None)

    def of_request(self, request: str) -> Operation | None:
        """The operation that a request led to."""
        return next(self._where("request = ?", request), None)

    def all(self) -> list[Operation]:
        """All operations, the oldest first."""
        return list(self._where("true"))

    def open(self) -> list[Operation]:
        """Those that are not done, in the order in which they were accepted."""
        return list(self._where("ended IS NULL"))

    def hurry(self, operations: Iterable[Operation]) -> None:
        """Let operations take effect as soon as can be."""
        self._db.executemany("UPDATE operations SET due = 0 WHERE id = ?", [(one.id,) for one in operations])

    def forget(self, operation: Operation) -> None:
        """Remove an operation that is over."""
        self._db.execute("DELETE FROM operations WHERE id = ? AND ended IS NOT NULL", (operation.id,))

    def end(self, operation: Operation, error: Json | None = None) -> None:
        """Write down that an operation is over."""
        self._db.execute(
            "UPDATE operations SET ended = ?, error = ? WHERE id = ? AND ended IS NULL",
            (self._clock.now(), error and json.dumps(error), operation.id),
        )

    def _where(self, condition: str, *values: object) -> Iterator[Operation]:
        query = f"SELECT {_COLUMNS} FROM operations WHERE {condition} ORDER BY number"  # noqa: S608 - our own words
        for row in self._db.execute(query, values).fetchall():
            (
                number,
                name,
                api,
                method,
                kind,
                target,
                principal,
                changes,
                facts,
                request,
                accepted,
                due,
                ended,
                error,
                result,
            ) = row
            yield Operation(
                api=api,
                method=method,
                kind=kind,
                target=target,
                principal=principal,
                changes=tuple(ResourceChange(*change) for change in json.loads(changes)),
                facts=json.loads(facts),
                request=request,
                id=name,
                number=number,
                accepted=accepted,
                due=due,
                ended=ended,
                error=error and json.loads(error),
                result=result and json.loads(result),
            )
