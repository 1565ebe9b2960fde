"""`configure`: the Ansible roles of nodes, again."""

from __future__ import annotations

from typing import Annotated

import typer

from testbed.cli import complete
from testbed.cli.context import Name, chosen, node_named, nodes_of, opened, require_root
from testbed.cli.lifecycle import PATIENCE
from testbed.cli.output import JsonOption, errors, print_json, progress, results
from testbed.control.realise.configuration import run_roles, with_roles
from testbed.control.state.lock import writing
from testbed.control.state.store import folder_of
from testbed.fabric.compiler import compile_topology


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
    """Run the Ansible roles of nodes again: what was changed by hand in them is as their topology says afterwards."""
    require_root()
    with (
        writing(folder_of(chosen(name)), patience=PATIENCE, waiting=errors.print),
        opened(name) as (store, topology),
        progress(quiet=json) as report,
    ):
        nodes = compile_topology(topology, store.running).nodes
        running = nodes_of(store).running()
        wanted = [node_named(store, one) for one in node or []]
        configured = run_roles(store, nodes, running, report, only=with_roles(wanted, nodes, running))
    if json:
        print_json({"name": store.name, "configured": configured})
    else:
        results.print(f"configured: {', '.join(configured) or 'nothing; no node has a role'}")
