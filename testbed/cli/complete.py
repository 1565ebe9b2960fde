"""What the shell offers for completion: names from the testbed's state, without a question to Docker.

Whoever may not read the state is offered nothing; completion is no place for errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.cli.view import by_name
from testbed.control.state.store import Store, exists, names
from testbed.errors import TestbedError
from testbed.load.request import scenarios
from testbed.paths import LOADTESTS


def testbeds(incomplete: str) -> list[str]:
    """Testbeds of this machine."""
    return _offered(incomplete, names)


def nodes(context: typer.Context, incomplete: str) -> list[str]:
    """Nodes of the testbed that the command line is about."""
    return _offered(incomplete, lambda: _stored(context, lambda store: store.processes()))


def services(context: typer.Context, incomplete: str) -> list[str]:
    """Serverless services of the testbed that the command line is about."""

    def ids(store: Store) -> Iterable[str]:
        topology = store.topology
        return by_name(store, topology.served) if topology else []

    return _offered(incomplete, lambda: _stored(context, ids))


def keys(context: typer.Context, incomplete: str) -> list[str]:
    """Service accounts' keys of the testbed that the command line is about, by their ids."""

    def ids(store: Store) -> Iterable[str]:
        with SqliteKeys.open(store.folder / KEYS) as known:
            return [key.id for key in known.all() if not key.deleted]

    return _offered(incomplete, lambda: _stored(context, ids))


def load_scenarios(incomplete: str) -> list[str]:
    """Scenarios of load tests."""
    return _offered(incomplete, lambda: scenarios(LOADTESTS))


def _stored(context: typer.Context, read: Callable[[Store], Iterable[str]]) -> Iterable[str]:
    """What the state of a testbed says: of the one that was named, or of the only one."""
    named = context.params.get("name")
    known = [named] if named else names()
    if len(known) != 1 or not exists(known[0]):
        return []
    with Store.open(known[0]) as store:
        return read(store)


def _offered(incomplete: str, find: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return sorted(name for name in find() if name.startswith(incomplete))
    except (OSError, TestbedError):
        return []
