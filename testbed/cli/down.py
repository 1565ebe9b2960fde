"""`down`: removes a testbed.  It asks the controller to end, and needs none, so it works after any crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from testbed.cli.context import Name, chosen, require_root
from testbed.cli.output import JsonOption, errors, print_json, progress, results
from testbed.cli.state import nodes_of
from testbed.control.controller_process import without_controller
from testbed.control.realise.teardown import tear_down
from testbed.control.state.folders import clear, exists, folder_of, names
from testbed.control.state.progress import Report
from testbed.control.state.store import Store
from testbed.errors import Aborted, NotFound

PATIENCE = 600.0
"""Seconds that it waits for another `down` of the same testbed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(down)


def down(
    name: Name = None,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="It is no error if there is none.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove a testbed: containers, namespaces, processes, state.  Reports of load tests are kept."""
    require_root()
    if if_exists and not (exists(name) if name else names()):
        _nothing(name, json=json)
        return
    target = chosen(name)
    folder = folder_of(target)
    with (
        progress(quiet=json) as report,
        _stoppable(target),
        without_controller(folder, patience=PATIENCE, waiting=errors.print),
    ):
        removed = _removed(target, report) if exists(target) else None
        clear(folder)
    if removed is None:
        raise NotFound(f"testbed {target!r}: not found")
    if json:
        print_json({"name": target, "removed": removed})
    else:
        results.print(f"testbed [bold]{target}[/] is down: {len(removed)} containers and namespaces removed")


def _nothing(name: str | None, *, json: bool) -> None:
    if json:
        print_json({"name": name, "removed": []})
    else:
        results.print(f"testbed {name!r}: there is none" if name else "testbed: none is running")


def _removed(name: str, report: Report) -> list[str]:
    with Store.open(name, any_layout=True) as store:
        return tear_down(store, nodes_of(store), report)


@contextmanager
def _stoppable(name: str) -> Iterator[None]:
    """Say what Ctrl-C leaves behind, and what to do about it.

    Raises:
        Aborted: on Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Aborted(
            f"testbed {name!r}: interrupted, and a part of it may still be there",
            hint=f"remove the rest: testbed down --name {name}",
        ) from None
