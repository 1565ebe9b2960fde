"""Which testbed a command is about, and how it asks that testbed's controller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from testbed.cli import complete
from testbed.control.channel.client import session
from testbed.control.state import layout
from testbed.control.state.folders import exists, folder_of, names
from testbed.control.state.progress import Report, silent
from testbed.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable
from testbed.json_object import Json

Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        "-n",
        envvar="TESTBED_NAME",
        autocompletion=complete.testbeds,
        help="The testbed; not needed while only one runs.",
    ),
]


def require_root() -> None:
    """Refuse early, before anything is touched.

    Raises:
        PermissionDenied: if this is not root.
    """
    if os.geteuid() != 0:
        raise PermissionDenied(
            "this command: only root may make network namespaces and firewall rules", hint="run it with sudo"
        )


def chosen(name: str | None) -> str:
    """The testbed that was named, or the only one.

    Raises:
        NotFound: if none runs.
        InvalidArgument: if several run and none was named.
    """
    if name is not None:
        return name
    running = names()
    if not running:
        raise NotFound("testbed: none is running", hint="start one: testbed up FILE")
    if len(running) > 1:
        raise InvalidArgument(f"testbed: several are running: {', '.join(running)}", hint="choose one with --name")
    return running[0]


def ask(name: str | None, command: str, arguments: Json, report: Report = silent) -> Json:
    """What the controller of a testbed answers to a request.

    Raises:
        NotFound: there is no such testbed.
        Unavailable: its controller does not run.
        TestbedError: what the controller says.
    """
    require_root()
    target = chosen(name)
    with session(present(target)) as found:
        if found is None:
            raise no_controller(target)
        return found.ask(command, arguments, report)


def present(name: str) -> Path:
    """The folder of a testbed that exists.

    Raises:
        NotFound: it does not.
        FailedPrecondition: another version of the testbed has made it.
    """
    if not exists(name):
        running = ", ".join(names()) or "none"
        raise NotFound(f"testbed {name!r}: not found (running: {running})", hint="start one: testbed up FILE")
    layout.require_of(name)
    return folder_of(name)


def no_controller(name: str) -> Unavailable:
    """What is said where nobody answers."""
    return Unavailable(f"controller of testbed {name!r}: it does not run", hint="start it again: testbed up")
