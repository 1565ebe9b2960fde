"""What the shell offers for completion: names from the testbed's state, without a question to Docker.

A user who may not read the state is offered nothing; completion is no place for errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from testbed.control.channel.client import session
from testbed.control.state.folders import exists, folder_of, names
from testbed.errors import NotFound, TestbedError
from testbed.json_object import Json
from testbed.load.request import scenarios
from testbed.paths import LOADTESTS


def testbeds(incomplete: str) -> list[str]:
    """Testbeds of this machine."""
    return offered(incomplete, names)


def nodes(context: typer.Context, incomplete: str) -> list[str]:
    """Nodes of the testbed that the command line is about."""
    return offered(incomplete, lambda: _known(context, "nodes"))


def services(context: typer.Context, incomplete: str) -> list[str]:
    """Serverless services of the testbed that the command line is about."""
    return offered(incomplete, lambda: _known(context, "services"))


def keys(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of the testbed that the command line is about, by their ids."""
    return offered(incomplete, lambda: [key["id"] for key in _asked(context, "key list")["keys"]])


def load_scenarios(incomplete: str) -> list[str]:
    """Scenarios of load tests."""
    return offered(incomplete, lambda: scenarios(LOADTESTS))


def offered(incomplete: str, find: Callable[[], Iterable[str]]) -> list[str]:
    """What begins so; nothing, where it may not be read."""
    try:
        return sorted(name for name in find() if name.startswith(incomplete))
    except (OSError, TestbedError):
        return []


def _known(context: typer.Context, kind: str) -> Iterable[str]:
    """The names of a kind, as the testbed's controller knows them."""
    known: list[str] = _asked(context, "names")[kind]
    return known


def _asked(context: typer.Context, request: str) -> Json:
    """What the controller answers of the testbed that was named, or of the only one.

    Raises:
        NotFound: it is not clear which one that is, or it has no controller.
    """
    named = context.params.get("name")
    known = [named] if named else names()
    if len(known) == 1 and exists(known[0]):
        with session(folder_of(known[0])) as found:
            if found is not None:
                return found.ask(request, {})
    raise NotFound("testbed: none could be meant")
