"""`configure`: the Ansible roles of nodes, again."""

from __future__ import annotations

from typing import Annotated

import typer

from testbed.cli import complete
from testbed.cli.context import Name, ask, chosen
from testbed.cli.output import JsonOption, print_json, progress, results


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(configure)


def configure(
    node: Annotated[
        list[str] | None, typer.Argument(help="Nodes; all that have a role.", autocompletion=complete.nodes)
    ] = None,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Run the Ansible roles of nodes again; this undoes changes that were made by hand."""
    with progress(quiet=json) as report:
        configured: list[str] = ask(name, "configure", {"nodes": node or []}, report)["configured"]
    if json:
        print_json({"name": chosen(name), "configured": configured})
    else:
        results.print(f"configured: {', '.join(configured) or 'nothing; no node has a role'}")
