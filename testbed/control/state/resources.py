"""The resources of a testbed, as they were asked for and as far as they have come into effect: tables of its store.

A resource has a *body*, which its API shows, and an *effective* body, from which the network is made.  The two differ
while an operation is under way, and for good if the resource is in an error that only its deletion ends.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from testbed.control.state.clock import Clock
from testbed.control.state.operations import Operation, ResourceChange
from testbed.json_object import Json
from testbed.model.core.resource import Defaults, Resource
from testbed.model.kinds import KINDS, assemble, name_of
from testbed.model.topology import Topology

SCHEMA = """
    CREATE TABLE IF NOT EXISTS resources (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
        effective TEXT, facts TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, generation INTEGER NOT NULL,
        pending TEXT NOT NULL, deleting INTEGER NOT NULL, error TEXT, from_file INTEGER NOT NULL,
        UNIQUE (kind, name));
"""
_COLUMNS = (
    "number, kind, name, body, effective, facts, created, updated, generation, pending, deleting, error, from_file"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A resource in the store."""

    kind: str
    """`compute.firewalls`: a kind of the topology, or one that packets know nothing of (`dns.policies`)."""
    name: str
    """The full resource name."""
    body: Json
    """What was asked for, in the form of its API."""
    effective: Json | None = None
    """The body that the network is made from; None if it has no part in it."""
    facts: Json = field(default_factory=dict)
    """Output of the server: an identifier, a URL, a host."""
    created: float = 0.0
    """Seconds since 1970 by the testbed's clock, as `updated`."""
    updated: float = 0.0
    generation: int = 1
    """Counts the changes that were asked for."""
    number: int = 0
    """Grows with every resource made; never used again."""
    pending: str = ""
    """The id of the operation that is under way."""
    deleting: bool = False
    error: Json | None = None
    """A `google.rpc.Status`, of a resource that has failed."""
    from_file: bool = False
    """Whether a topology file asked for it; else an API did, and a file does not delete it unasked."""

    @property
    def id(self) -> str:
        """The last segment of the name."""
        return self.name.rpartition("/")[2]


class Resources:
    """The table of resources."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._db = connection
        self._clock = clock

    def get(self, kind: str, name: str) -> Record | None:
        """A resource, if it is there."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM resources WHERE kind = ? AND name = ?", (kind, name)).fetchone()  # noqa: S608
        return _record(row) if row else None

    def of(self, kind: str, prefix: str = "") -> list[Record]:
        """The resources of a kind whose names begin so, in the order in which they were made."""
        query = f"SELECT {_COLUMNS} FROM resources WHERE kind = ? AND substr(name, 1, ?) = ? ORDER BY number"  # noqa: S608
        return [_record(row) for row in self._db.execute(query, (kind, len(prefix), prefix))]

    def all(self) -> list[Record]:
        """Every resource."""
        return [_record(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM resources ORDER BY number")]  # noqa: S608

    def projects(self) -> set[str]:
        """The ids of the projects that were made or have resources; an App Engine app is called as its project."""
        rows = self._db.execute("SELECT name FROM resources WHERE name LIKE 'projects/%' OR name LIKE 'apps/%'")
        return {str(name).split("/", 2)[1] for (name,) in rows}

    def put(self, record: Record) -> Record:
        """Write a resource; a change of its body counts as one generation."""
        known, now = self.get(record.kind, record.name), self._clock.now()
        changed = known is not None and known.body != record.body
        if known is None:
            record = replace(record, created=record.created or now, updated=now)
        elif changed:
            record = replace(record, created=known.created, updated=now, generation=known.generation + 1)
        values = (
            record.kind,
            record.name,
            _dump(record.body),
            None if record.effective is None else _dump(record.effective),
            _dump(record.facts),
            record.created,
            record.updated,
            record.generation,
            record.pending,
            int(record.deleting),
            record.error and _dump(record.error),
            int(record.from_file),
        )
        self._db.execute(
            "INSERT INTO resources (kind, name, body, effective, facts, created, updated, generation, pending,"
            " deleting, error, from_file) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (kind, name) DO UPDATE SET"
            " body = excluded.body, effective = excluded.effective, facts = excluded.facts,"
            " updated = excluded.updated, generation = excluded.generation, pending = excluded.pending,"
            " deleting = excluded.deleting, error = excluded.error, from_file = excluded.from_file",
            values,
        )
        found = self.get(record.kind, record.name)
        return found or record

    def fail(self, kind: str, name: str, error: Mapping[str, Any]) -> None:
        """Take a resource out of effect and leave it in an error."""
        if record := self.get(kind, name):
            self.put(replace(record, effective=None, pending="", error=dict(error)))

    def release(self, operation: str) -> None:
        """Let the resources go on which an operation was under way."""
        self._db.execute("UPDATE resources SET pending = '', deleting = 0 WHERE pending = ?", (operation,))

    def remove(self, kind: str, name: str) -> None:
        """Remove a resource."""
        self._db.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))

    # -- as a topology --------------------------------------------------------------------------------------------

    def effective(self, general: Mapping[str, Any]) -> Topology:
        """The topology that the network is made from.  Raises as `assemble` does."""
        query = "SELECT kind, name, effective FROM resources WHERE effective IS NOT NULL ORDER BY number"
        return assemble(general, ((kind, resource) for kind, _, resource in self._models(query, general)))

    def asked(self, general: Mapping[str, Any]) -> list[tuple[str, str, Resource]]:
        """Kind, name and model of what there will be when all operations under way have come to a good end.

        A new connector is left out until it comes into effect: what is wrong with its range is found only then
        (behaviour 1.6.9).
        """
        query = (
            "SELECT kind, name, body FROM resources WHERE deleting = 0 AND error IS NULL"
            " AND (kind != 'vpcaccess.connectors' OR effective IS NOT NULL) ORDER BY number"
        )
        return list(self._models(query, general))

    def _models(self, query: str, general: Mapping[str, Any]) -> Iterator[tuple[str, str, Resource]]:
        known = Defaults(general["project"], general.get("region"), general.get("zone"), lenient=True)
        for kind, name, text in self._db.execute(query).fetchall():
            if kind in KINDS:
                yield kind, name, _parsed(kind, text, known)

    def missing_in(self, topology: Topology) -> list[tuple[str, str]]:
        """Kind and name of what an API has made, and `replace_all` would delete."""
        wanted = {(kind.key, name_of(resource)) for kind in KINDS.values() for resource in kind.of(topology)}
        made = self._db.execute(
            "SELECT kind, name FROM resources WHERE NOT from_file AND NOT deleting"
            " AND (effective IS NOT NULL OR pending = '') ORDER BY number"  # what is being made goes on
        )
        return [(kind, name) for kind, name in made if kind in KINDS and (kind, name) not in wanted]

    def replace_all(self, topology: Topology, under_way: Iterable[Operation] = ()) -> list[Operation]:
        """Make the resources of the topology's kinds those of a topology, in effect as they are asked for.

        Of the operations that are under way, those go on whose resources it leaves as they were before, or makes what
        they will be; the others are returned, and nothing of them is left.

        Raises:
            pydantic.ValidationError: a body that is there is not one of its kind.
        """
        wanted = dict(_bodies(topology))
        general = topology.model_dump(by_alias=True, include={"project", "region", "zone"})

        def is_as(change: ResourceChange, body: Json | None) -> bool:
            resource = wanted.get((change.kind, change.name), (None, {}))[0]
            return resource == (None if body is None else model(change.kind, body, general))

        kept: dict[tuple[str, str], Json | None] = {}
        """Of what an operation goes on with: the body in effect until then."""
        overtaken: list[Operation] = []
        for operation in under_way:
            known = [change for change in operation.changes if change.kind in KINDS]
            if all(is_as(change, change.previous) or is_as(change, change.body) for change in known):
                for c in known:
                    kept[c.kind, c.name] = c.previous if is_as(c, c.previous) else c.body
            else:
                self.release(operation.id)
                overtaken.append(operation)
        for record in self.all():
            if (record.kind, record.name) in kept:
                self.put(replace(record, effective=kept[record.kind, record.name]))
            elif record.kind in KINDS and (record.kind, record.name) not in wanted:
                self.remove(record.kind, record.name)
        for (kind, name), (resource, body) in wanted.items():
            if (kind, name) in kept:
                continue
            record = self.get(kind, name) or Record(kind, name, body)
            # Other fields of an API's body (labels, say) stay as long as the resource is the same to packets.
            same = not record.error and model(kind, record.body, general) == resource
            made = record.body if same else body
            self.put(replace(record, body=made, effective=made, pending="", deleting=False, error=None, from_file=True))
        return overtaken


def model(kind: str, body: Mapping[str, Any], general: Mapping[str, Any]) -> Resource:
    """A stored body as the model that packets know it by; what the model has no field for is passed over."""
    known = Defaults(general["project"], general.get("region"), general.get("zone"), lenient=True)
    return KINDS[kind].model.model_validate(dict(body), context=known)


@lru_cache(maxsize=1 << 14)
def _parsed(kind: str, text: str, known: Defaults) -> Resource:
    """A body's model.  It is asked for again and again: after each change, for all resources."""
    return KINDS[kind].model.model_validate(json.loads(text), context=known)


def _bodies(topology: Topology) -> Iterator[tuple[tuple[str, str], tuple[Resource, Json]]]:
    for kind in KINDS.values():
        for resource in kind.of(topology):
            full, given = (
                json.loads(resource.model_dump_json(by_alias=True, exclude_defaults=brief)) for brief in (False, True)
            )
            body = _told(full, given)
            yield (kind.key, name_of(resource)), (resource, body)


def _told(full: Any, given: Any) -> Any:
    """A dumped model as an API would have it: what was given, and the defaults that say something."""
    if isinstance(full, dict):
        known = given if isinstance(given, dict) else {}
        return {
            key: _told(value, known.get(key))
            for key, value in full.items()
            if key in known or value not in (None, "", [], {})
        }
    if isinstance(full, list) and isinstance(given, list):
        return [_told(*pair) for pair in zip(full, given, strict=True)]
    return full


def _dump(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))


def _record(row: Iterable[Any]) -> Record:
    number, kind, name, body, effective, facts, created, updated, generation, pending, deleting, error, file = row
    return Record(
        kind,
        name,
        json.loads(body),
        effective and json.loads(effective),
        json.loads(facts),
        created,
        updated,
        generation,
        number,
        pending,
        bool(deleting),
        error and json.loads(error),
        bool(file),
    )
