"""What is known about a testbed between commands: its journal, its topology and its running state, in one SQLite file.

The journal is written before a thing is made, so whatever exists on the host stands in it, whenever the program ended.
A write is complete or did not happen; the folder and the file are their owner's alone (0700, 0600): they hold secrets.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Literal

from testbed.control.state import faults, layout, operations, resources, server_certificates
from testbed.control.state.folders import FILE, exists, folder_of, names
from testbed.errors import NotFound, Unavailable
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, Key, NameKey, RangeKey
from testbed.fabric.allocation.running import ConnectorInstance, Health, LearnedRoute, Running
from testbed.fabric.allocation.short_names import free_serial
from testbed.json_object import Json
from testbed.model.topology import Topology

Kind = Literal["container", "namespace"]

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS journal (kind TEXT, name TEXT, PRIMARY KEY (kind, name));
    CREATE TABLE IF NOT EXISTS allocations (kind TEXT, use TEXT, owner TEXT, part TEXT, revision TEXT, number INTEGER,
                                            value TEXT NOT NULL,
                                            PRIMARY KEY (kind, use, owner, part, revision, number));
    CREATE TABLE IF NOT EXISTS auth_strings (instance TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS configured (node TEXT PRIMARY KEY, digest TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS delivered (node TEXT PRIMARY KEY, digest TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS connectors (name TEXT PRIMARY KEY, state TEXT NOT NULL, detail TEXT NOT NULL,
                                           serial INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS instances (name TEXT PRIMARY KEY, connector TEXT NOT NULL, address TEXT NOT NULL,
                                          health TEXT NOT NULL, machine_type TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS learned (node TEXT NOT NULL, destination TEXT NOT NULL, priority INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS processes (node TEXT PRIMARY KEY, pid INTEGER NOT NULL);
"""
_TABLES = _SCHEMA + resources.SCHEMA + operations.SCHEMA + faults.SCHEMA + server_certificates.SCHEMA


def _missing(name: str) -> NotFound:
    running = ", ".join(names()) or "none"
    return NotFound(f"there is no testbed {name!r} (running: {running})", hint="testbed up FILE starts one")


def _unreadable(name: str, error: sqlite3.Error) -> Unavailable:
    return Unavailable(f"the state of testbed {name!r} ({folder_of(name) / FILE}): {error}")


def _columns(key: Key) -> tuple[str, str, str, str, int]:
    return key.use, key.owner, key.part, key.revision, key.number


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
        self.resources = resources.Resources(connection)
        self.operations = operations.Operations(connection)
        self.certificates = server_certificates.ServerCertificates(connection)
        self.faults = faults.Faults(connection)
        self._allocations: tuple[str | None, Allocations] = None, Allocations()

    @classmethod
    @contextmanager
    def open(cls, name: str, *, create: bool = False, any_layout: bool = False) -> Iterator[Store]:
        """Open the state of a testbed.  Threads that share it must be kept apart by their maker.

        With `any_layout`, a file of another version's layout is taken: its facts and its journal can be read.

        Raises:
            NotFound: if there is no testbed of that name and `create` is false.
            FailedPrecondition: if another version of the testbed has written it.
            Unavailable: if the file cannot be read or written.
        """
        folder = folder_of(name)
        file = folder / FILE
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        elif not exists(name):
            raise _missing(name)
        try:
            # Nothing is made here: a `down` may be removing the file just now.
            uri = f"{file.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(uri, timeout=10, isolation_level=None, check_same_thread=False, uri=True)
        except sqlite3.OperationalError as error:
            raise _unreadable(name, error) if exists(name) else _missing(name) from None
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if not any_layout:
                layout.require(connection, name)
            layout.begin(connection, _TABLES)
            store = cls(name, connection)
            if store._fact("id") is None:  # a look must not wait for a writer
                connection.execute("INSERT OR IGNORE INTO facts VALUES ('id', ?)", (secrets.token_hex(8),))
            yield store
        except sqlite3.DatabaseError as error:
            raise _unreadable(name, error) from error
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen together, or none of them.  One inside of another is a part of it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

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
        """The topology that is in effect, or should be: what was asked for, but for operations under way."""
        general = self.general
        return self.resources.effective(general) if general else None

    @topology.setter
    def topology(self, topology: Topology) -> None:
        general = topology.model_dump(mode="json", by_alias=True, include={"name", "project", "region", "zone"})
        with self.transaction():
            self._set_fact("topology", json.dumps(general))
            for one in self.resources.replace_all(topology, self.operations.open()):
                self.operations.end(one, operations.OVERTAKEN)

    @property
    def general(self) -> Json:
        """What a topology says of itself: its name, its project, its default region and zone.  Empty at first."""
        text = self._fact("topology")
        return json.loads(text) if text else {}

    @property
    def port(self) -> int:
        """The port on loopback at which the control plane was last served; 0 if it never was."""
        return int(self._fact("port") or 0)

    @port.setter
    def port(self, value: int) -> None:
        self._set_fact("port", str(value))

    @property
    def revision(self) -> int:
        """Counts the times that something changed nodes or kernel: whoever remembers what it made sees others."""
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

    # -- the journal ----------------------------------------------------------------------------------------------

    def record(self, kind: Kind, *things: str) -> None:
        """Write down, before it is made, what is about to be made (its name on the host)."""
        self._db.executemany("INSERT OR IGNORE INTO journal VALUES (?, ?)", [(kind, name) for name in things])

    def strike(self, kind: Kind, *things: str) -> None:
        """Strike out what is gone."""
        self._db.executemany("DELETE FROM journal WHERE kind = ? AND name = ?", [(kind, name) for name in things])

    def recorded(self, kind: Kind) -> set[str]:
        """What may exist on the host."""
        return {row[0] for row in self._db.execute("SELECT name FROM journal WHERE kind = ?", (kind,))}

    # -- running state --------------------------------------------------------------------------------------------

    @property
    def running(self) -> Running:
        """The running state, as the compiler reads it."""
        return Running(
            self.allocations,
            self.instances,
            dict(self._db.execute("SELECT instance, value FROM auth_strings")),
            self.certificates.all(),
            self.load_generator,
            self.learned,
            self.vlans,
        )

    @property
    def allocations(self) -> Allocations:
        """What was given out; the fields of keys are columns.

        It is read once per change: every view of a resource in a long list asks for it.
        """
        written = self._fact("allocations")
        if self._allocations[0] != written:
            self._allocations = written, self._all_allocations()
        return self._allocations[1]

    def _all_allocations(self) -> Allocations:
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

    def set_allocations(self, given: Allocations) -> None:
        """Replace what was given out."""
        rows = [("address", *_columns(key), value) for key, value in given.addresses.items()]
        rows += [("range", *_columns(key), value) for key, value in given.ranges.items()]
        rows += [("name", *_columns(key), value) for key, value in given.names.items()]
        with self.transaction():
            self._db.execute("DELETE FROM allocations")
            self._db.executemany("INSERT INTO allocations VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._set_fact("allocations", secrets.token_hex(8))

    def ensure_auth_strings(self, instances: Iterable[str]) -> None:
        """Generate AUTH strings (UUIDs in Google's case; 128 random bits here) for Redis instances that have none.

        Those of all other instances are forgotten: one that is made anew, or gets AUTH again, has another.
        """
        rows = {name: secrets.token_hex(16) for name in instances}
        gone = [(row[0],) for row in self._db.execute("SELECT instance FROM auth_strings") if row[0] not in rows]
        self._db.executemany("DELETE FROM auth_strings WHERE instance = ?", gone)
        self._db.executemany("INSERT OR IGNORE INTO auth_strings VALUES (?, ?)", rows.items())

    @property
    def learned(self) -> tuple[LearnedRoute, ...]:
        """What BGP has brought, as it was seen last, in order."""
        rows = self._db.execute("SELECT node, destination, priority FROM learned ORDER BY node, destination, priority")
        return tuple(LearnedRoute(*row) for row in rows)

    @learned.setter
    def learned(self, routes: Iterable[LearnedRoute]) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM learned")
            rows = [(route.node, route.destination, route.priority) for route in routes]
            self._db.executemany("INSERT INTO learned VALUES (?, ?, ?)", rows)

    @property
    def instances(self) -> tuple[ConnectorInstance, ...]:
        """All connector instances, in the order of their names."""
        rows = self._db.execute("SELECT name, connector, address, health, machine_type FROM instances ORDER BY name")
        return tuple(ConnectorInstance(*row) for row in rows)

    def add_instances(self, instances: Iterable[ConnectorInstance]) -> None:
        """Add instances."""
        rows = [(i.name, i.connector, i.address, i.health, i.machine_type) for i in instances]
        self._db.executemany("INSERT INTO instances VALUES (?, ?, ?, ?, ?)", rows)

    def remove_instances(self, removed: Iterable[str]) -> None:
        """Remove instances by name."""
        self._db.executemany("DELETE FROM instances WHERE name = ?", [(name,) for name in removed])

    def set_health(self, health: Mapping[str, Health]) -> None:
        """Write down what the health checks found, by instance name."""
        rows = [(value, name) for name, value in health.items()]
        self._db.executemany("UPDATE instances SET health = ? WHERE name = ?", rows)

    def next_serial(self, connector: str) -> int:
        """A number that no instance has, and with which it is called as no other node is.

        Connectors of two regions may have the same short name, a VM the name of an instance.
        """
        self._db.execute("INSERT OR IGNORE INTO connectors VALUES (?, 'CREATING', '', 0)", (connector,))
        serial = int(self._db.execute("SELECT max(serial) + 1 FROM connectors").fetchone()[0])
        given = {row[0] for row in self._db.execute("SELECT value FROM allocations WHERE kind = 'name'")}
        serial = free_serial(connector, serial, given)
        self._db.execute("UPDATE connectors SET serial = ? WHERE name = ?", (serial, connector))
        return serial

    def connector_states(self) -> dict[str, tuple[str, str]]:
        """State (the API's enum) and detail of each connector."""
        return {row[0]: (row[1], row[2]) for row in self._db.execute("SELECT name, state, detail FROM connectors")}

    def set_connector_state(self, connector: str, state: str, detail: str = "") -> None:
        """Set the state of a connector."""
        self._db.execute("INSERT OR IGNORE INTO connectors VALUES (?, ?, ?, 0)", (connector, state, detail))
        self._db.execute("UPDATE connectors SET state = ?, detail = ? WHERE name = ?", (state, detail, connector))

    def forget_connectors(self, connectors: Iterable[str]) -> None:
        """Forget connectors that were deleted, and their instances."""
        rows = [(name,) for name in connectors]
        self._db.executemany("DELETE FROM instances WHERE connector = ?", rows)
        self._db.executemany("DELETE FROM connectors WHERE name = ?", rows)

    def set_processes(self, pids: Mapping[str, int]) -> None:
        """Write down the first process of each node, by its id on the host."""
        with self.transaction():
            self._db.execute("DELETE FROM processes")
            self._db.executemany("INSERT INTO processes VALUES (?, ?)", pids.items())

    def processes(self) -> dict[str, int]:
        """The first process of each node."""
        return dict(self._db.execute("SELECT node, pid FROM processes"))

    # -- configuration --------------------------------------------------------------------------------------------

    def configured(self) -> dict[str, str]:
        """By node: a digest of what its role last configured it with."""
        return dict(self._db.execute("SELECT node, digest FROM configured"))

    def set_configured(self, digests: Mapping[str, str]) -> None:
        """Write down what nodes have been configured with."""
        self._db.executemany("INSERT OR REPLACE INTO configured VALUES (?, ?)", digests.items())

    def delivered(self) -> dict[str, str]:
        """By node: a digest of the files that it has read last."""
        return dict(self._db.execute("SELECT node, digest FROM delivered"))

    def set_delivered(self, node: str, digest: str) -> None:
        """Write down what files a node has read."""
        self._db.execute("INSERT OR REPLACE INTO delivered VALUES (?, ?)", (node, digest))

    def export(self) -> Json:
        """What a person may see of the state: everything but secrets."""
        found = [asdict(fault) for fault in self.faults.all()]
        return {"name": self.name, "id": self.id, "source": self.source, "complete": self.complete, "faults": found}
