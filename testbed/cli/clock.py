"""`clock show`, `clock advance`: the testbed's clock, by which waits what takes minutes or hours at Google."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from testbed.cli import duration
from testbed.cli.context import Name, ask
from testbed.cli.output import JsonOption, print_json, results
from testbed.json_object import Json

clock = typer.Typer(no_args_is_help=True, help="The testbed's clock: for tests of what takes minutes or hours.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(clock, name="clock")


@clock.command()
def show(name: Name = None, json: JsonOption = False) -> None:
    """Show what time it is in the testbed."""
    _print(ask(name, "clock", {}), json=json)


@clock.command()
def advance(
    time: Annotated[str, typer.Argument(help="How far: 90s, 20m, 1h30m, 2d.")],
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Put the clock forward.  What waits by Google's rules goes on at once; it never goes back."""
    _print(ask(name, "clock advance", {"seconds": duration.seconds(time)}), json=json)


def _print(told: Json, *, json: bool) -> None:
    if json:
        print_json(told)
        return
    now = datetime.fromtimestamp(told["now"], UTC).isoformat(timespec="seconds")
    ahead = f"{duration.words(told['ahead'])} ahead of this machine" if told["ahead"] else "as on this machine"
    results.print(f"{now}, {ahead}")
