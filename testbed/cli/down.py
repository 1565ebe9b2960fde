"""`down`: removes a testbed.  It asks the controller to end, and needs none, so it works after any crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import docker
import typer

from testbed.cli.context import Name, chosen, require_root
from testbed.cli.output import JsonOption, errors, print_json, progress, results
from testbed.control.controller_process import without_controller
from testbed.control.realise.teardown import Belongings, proven, recorded, tear_down
from testbed.control.state.folders import clear, exists, folder_of, names
from testbed.errors import Aborted, NotFound, Unavailable
from testbed.foreign_errors import of_file
from testbed.nodes.engine import connect

PATIENCE = 600.0
"""Seconds that it waits for another `down` of the same testbed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(down)


def down(
    name: Name = None,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="It is no error if there is none.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove what carries the testbed's labels, even if its state folder is gone."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove a testbed: containers, namespaces, processes, state.  Reports of load tests are kept."""
    require_root()
    if if_exists and not (exists(name) if name else names()):
        _nothing(name, json=json)
        return
    target = chosen(name)
    folder = folder_of(target)
    if not (force or folder.exists()):
        raise _not_found(target)
    with (
        progress(quiet=json) as report,
        _stoppable(target),
        without_controller(folder, patience=PATIENCE, waiting=errors.print, create=force),
    ):
        client = connect()
        found = _belongings(target, client, force=force)
        removed = tear_down(target, found, client, report) if found else None
        _clear(folder)
    if removed is None:
        raise _not_found(target)
    if json:
        print_json({"name": target, "removed": removed})
    else:
        results.print(f"testbed [bold]{target}[/] is down: {len(removed)} containers and namespaces removed")


def _not_found(name: str) -> NotFound:
    return NotFound(
        f"testbed {name!r}: not found",
        hint=f"if its state folder was removed by hand: testbed down --force --name {name}",
    )


def _nothing(name: str | None, *, json: bool) -> None:
    if json:
        print_json({"name": name, "removed": []})
    else:
        results.print(f"testbed {name!r}: there is none" if name else "testbed: none is running")


def _belongings(name: str, client: docker.DockerClient, *, force: bool) -> Belongings | None:
    """What there may be of a testbed: by its state, or by the labels if that is lost; None if there is no such one."""
    try:
        found = recorded(name)
    except NotFound:
        return proven(name, client) if force else None
    except Unavailable as error:
        errors.print(f"{error.message}; what carries the labels of testbed {name!r} is removed", markup=False)
        return proven(name, client)
    return found | proven(name, client) if force else found


def _clear(folder: Path) -> None:
    """Remove the folder.

    Raises:
        Unavailable: the disk is read-only.
    """
    try:
        clear(folder)
    except OSError as error:
        if (known := of_file(error)) is None:
            raise
        raise Unavailable(
            f"testbed {folder.name!r}: it is down, but its folder stays: {known.message}",
            hint=f"remove it when the disk can be written: testbed down --name {folder.name}",
        ) from error


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
