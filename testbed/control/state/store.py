"""What is known about a testbed between commands: its facts, and the tables of its other parts, in one SQLite file.

Each table belongs to a module of its own; here is what holds them together.  A write is complete or did not happen.
The folder and the file are their owner's alone (0700, 0600): they hold secrets.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict

from testbed.control.state import (
    allocation_table,
    auth_strings,
    clock,
    connectors,
    database,
    events,
    faults,
    journal,
    layout,
    learned_routes,
    nodes,
    operations,
    resources,
    server_certificates,
)
from testbed.control.state.folders import FILE, exists, folder_of, names
from testbed.control.state.transaction import transaction
from testbed.errors import NotFound, Unavailable
from testbed.fabric.allocation.running import Running
from testbed.json_object import Json
from testbed.model.topology import Topology

_FACTS = "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
_OWNERS = (
    allocation_table,
    auth_strings,
    clock,
    connectors,
    events,
    faults,
    journal,
    learned_routes,
    nodes,
    operations,
    resources,
    server_certificates,
)
_TABLES = "".join([_FACTS, *(owner.SCHEMA for owner in _OWNERS)])
_GENERAL = {"name", "project", "region", "zone", "capacity"}
"""What a topology says of itself, as against its resources."""


def _missing(name: str) -> NotFound:
    running = ", ".join(names()) or "none"
    return NotFound(f"testbed {name!r}: not found (running: {running})", hint="start one: testbed up FILE")


class Store:
    """The state of one testbed."""

    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        self.name = name
        self.folder = folder_of(name)
        self.ca = self.folder / "ca.pem"
        """The certificate of the testbed's CA (`testbed.api.frontdoor.certificates`)."""
        self._db = connection
        self.kept: tuple[tuple[int, int], Topology] | None = None
        """The topology in effect, as it was put together last, and the version of the state that it is of."""
        self.clock = clock.Clock(connection)
        self.resources = resources.Resources(connection, self.clock)
        self.operations = operations.Operations(connection, self.clock)
        self.events = events.Events(connection, self.clock)
        self.faults = faults.Faults(connection)
        self.journal = journal.Journal(connection)
        self.allocations = allocation_table.AllocationTable(connection)
        self.connectors = connectors.Connectors(connection, self.allocations)
        self.nodes = nodes.Nodes(connection)
        self.learned_routes = learned_routes.LearnedRoutes(connection)
        self.auth_strings = auth_strings.AuthStrings(connection)
        self.certificates = server_certificates.ServerCertificates(connection)

    @classmethod
    @contextmanager
    def open(cls, name: str, *, create: bool = False) -> Iterator[Store]:
        """Open the state of a testbed.  Threads that share it must be kept apart by their maker.

        Raises:
            NotFound: if there is no testbed of that name and `create` is false.
            FailedPrecondition: if another version of the testbed has written it.
            ResourceExhausted, Unavailable: if the file cannot be read or written.
        """
        folder = folder_of(name)
        file = folder / FILE
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        elif not exists(name):
            raise _missing(name)
        try:
            connection = database.connect(file)  # nothing is made here: a `down` may be removing the file just now
        except Unavailable:
            if exists(name):
                raise
            raise _missing(name) from None
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            layout.require(connection, name)
            layout.begin(connection, _TABLES)
            store = cls(name, connection)
            if store._fact("id") is None:  # a look must not wait for a writer
                connection.execute("INSERT OR IGNORE INTO facts VALUES ('id', ?)", (secrets.token_hex(8),))
            yield store
        finally:
            connection.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside happen together, or none of them.  One inside of another is a part of it."""
        return transaction(self._db)

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Reads inside see one state; it is numbered, and another number as soon as somebody else has written."""
        self._db.execute("BEGIN")
        try:
            self._fact("id")  # it begins with the first read
            yield int(self._db.execute("PRAGMA data_version").fetchone()[0])
        finally:
            self._db.execute("COMMIT")

    @property
    def version(self) -> tuple[int, int] | None:
        """Another value as soon as something is written, by this connection or by another; None in a transaction."""
        if self._db.in_transaction:
            return None
        return int(self._db.execute("PRAGMA data_version").fetchone()[0]), self._db.total_changes

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun that is not over yet."""
        return self._db.in_transaction

    @property
    def begun(self) -> bool:
        """Whether a topology was ever asked for; if not, nothing has been made."""
        return self._fact("topology") is not None

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The random id that containers carry as a label: proof that they are ours."""
        return str(self._fact("id"))

    def _fact(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def _set_fact(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    @property
    def topology(self) -> Topology | None:
        """The topology that is in effect, or should be: the requested one, without operations under way."""
        general = self.general
        return self.resources.effective(general) if general else None

    def replace_topology(self, topology: Topology) -> list[operations.Operation]:
        """Put a topology in the place of the present one.

        The operations that it contradicts are returned; nothing is left of what they have done, and they are to end.
        """
        general = topology.model_dump(mode="json", by_alias=True, include=_GENERAL)
        with self.transaction():
            self._set_fact("topology", json.dumps(general))
            return self.resources.replace_all(topology, self.operations.open())

    @property
    def general(self) -> Json:
        """What a topology says of itself: its name, its project, its defaults.  Empty at first."""
        text = self._fact("topology")
        return json.loads(text) if text else {}

    def set_capacity(self, capacity: object) -> None:
        """Change what the topology says of the capacity of connectors; `capacity` is as its API has it."""
        with self.transaction():
            self._set_fact("topology", json.dumps({**self.general, "capacity": capacity}))

    @property
    def port(self) -> int:
        """The port on loopback at which the control plane was last served; 0 if it never was."""
        return int(self._fact("port") or 0)

    @port.setter
    def port(self, value: int) -> None:
        self._set_fact("port", str(value))

    @property
    def revision(self) -> int:
        """Counts the changes of nodes or kernel: a process that remembers its own count sees others' changes."""
        return int(self._fact("revision") or 0)

    def begin_revision(self) -> int:
        """Count once more, before anything is changed."""
        revision = self.revision + 1
        self._set_fact("revision", str(revision))
        return revision

    @property
    def source(self) -> str:
        """The file that the topology came from."""
        return self._fact("source") or ""

    @source.setter
    def source(self, file: str) -> None:
        self._set_fact("source", file)

    @property
    def complete(self) -> bool:
        """Whether the last `up` came to its end."""
        return self._fact("complete") == "yes"

    @complete.setter
    def complete(self, value: bool) -> None:
        self._set_fact("complete", "yes" if value else "no")

    @property
    def operation_delay(self) -> float:
        """What Google's durations of operations are multiplied with; 0: operations take what they take."""
        return float(self._fact("operation_delay") or 0)

    @operation_delay.setter
    def operation_delay(self, value: float) -> None:
        self._set_fact("operation_delay", str(value))

    @property
    def strict_projects(self) -> bool:
        """Whether calls about projects that were never made are refused."""
        return self._fact("strict_projects") == "yes"

    @strict_projects.setter
    def strict_projects(self, value: bool) -> None:
        self._set_fact("strict_projects", "yes" if value else "no")

    @property
    def load_generator(self) -> bool:
        """Whether the load generator should be there."""
        return self._fact("load") == "yes"

    @load_generator.setter
    def load_generator(self, value: bool) -> None:
        self._set_fact("load", "yes" if value else "no")

    @property
    def vlans(self) -> bool:
        """Whether the kernel had VLANs when the testbed was begun: its links stay as they are."""
        return self._fact("vlans") == "yes"

    @vlans.setter
    def vlans(self, value: bool) -> None:
        self._set_fact("vlans", "yes" if value else "no")

    # -- all together ---------------------------------------------------------------------------------------------

    @property
    def running(self) -> Running:
        """The running state, as the compiler reads it."""
        return Running(
            self.allocations.all(),
            self.connectors.instances(),
            self.auth_strings.all(),
            self.certificates.all(),
            self.load_generator,
            self.learned_routes.all(),
            self.vlans,
        )

    def export(self) -> Json:
        """What a person may see of the state: everything but secrets."""
        found = [asdict(fault) for fault in self.faults.all()]
        return {"name": self.name, "id": self.id, "source": self.source, "complete": self.complete, "faults": found}
