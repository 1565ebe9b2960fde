"""`configure`: the Ansible roles of nodes, again; the capacity of connectors."""

from __future__ import annotations

from typing import Annotated

import typer

from testbed.cli import complete
from testbed.cli.context import Name, ask, chosen
from testbed.cli.output import JsonOption, print_json, progress, results
from testbed.errors import InvalidArgument
from testbed.json_object import Json

ABOVE = "default"
"""The capacity that takes another one back."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(configure)


def configure(
    node: Annotated[
        list[str] | None, typer.Argument(help="Nodes; all that have a role.", autocompletion=complete.nodes)
    ] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            help="Change the capacity of connectors instead: nominal, burst, off, default, or KEY=NUMBER,... as in a"
            " topology."
        ),
    ] = None,
    connector: Annotated[str | None, typer.Option(help="Change the capacity of this connector only.")] = None,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Run the Ansible roles of nodes again: what was changed by hand in them is as their topology says afterwards."""
    if connector is not None and capacity is None:
        raise typer.BadParameter("--connector goes with --capacity")
    if capacity is not None:
        if node:
            raise typer.BadParameter("--capacity is for connectors, and takes no nodes")
        _change_capacity(name, connector, capacity, json=json)
        return
    with progress(quiet=json) as report:
        configured: list[str] = ask(name, "configure", {"nodes": node or []}, report)["configured"]
    if json:
        print_json({"name": chosen(name), "configured": configured})
    else:
        results.print(f"configured: {', '.join(configured) or 'nothing; no node has a role'}")


def _change_capacity(name: str | None, connector: str | None, capacity: str, *, json: bool) -> None:
    rows = ask(name, "capacity", {"capacity": parsed(capacity), "connector": connector})["connectors"]
    if json:
        print_json({"name": chosen(name), "capacities": {row["name"]: row["capacity"] for row in rows}})
        return
    for row in rows:
        results.print(f"connector {row['name']}: capacity {row['capacity']}")
    if not rows:
        results.print(f"there are no connectors yet; they will have capacity {capacity}")


def parsed(text: str) -> str | Json | None:
    """A capacity as a topology has it: a word, or a mapping of numbers.

    Raises:
        InvalidArgument: a limit has no number.
    """
    if text == ABOVE:
        return None
    if "=" not in text:
        return text
    limits: Json = {}
    for part in text.split(","):
        key, _, number = part.partition("=")
        if not number.isdecimal():
            raise InvalidArgument(f"capacity {part!r}: write KEY=NUMBER, for example megabitsPerSecond=20")
        limits[key] = int(number)
    return limits
