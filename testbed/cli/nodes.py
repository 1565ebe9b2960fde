"""`exec`, `logs`: into a node, and what it has written."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from testbed.cli import complete, log_lines
from testbed.cli.context import Name
from testbed.cli.state import nodes_of, opened
from testbed.control.facts.names import node_named
from testbed.errors import InvalidArgument

Node = Annotated[str, typer.Argument(help="A node, as `testbed status` lists them.", autocompletion=complete.nodes)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
        execute
    )
    app.command()(logs)


def execute(
    node: Node,
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    name: Name = None,
) -> None:
    """Run a command in a node; its output and exit status are passed through."""
    with opened(name) as (store, _):
        node, nodes = node_named(store, node), nodes_of(store)
    raise typer.Exit(nodes.execute(node, command[1:] if command[0] == "--" else command))


def logs(
    node: Annotated[
        str | None, typer.Argument(help="A node, as `testbed status` lists them.", autocompletion=complete.nodes)
    ] = None,
    firewall: Annotated[bool, typer.Option("--firewall", help="The log of VPC firewall rules instead.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until Ctrl-C.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Print only this number of last lines.")] = None,
    name: Name = None,
    json: Annotated[bool, typer.Option("--json", help="Print the firewall's records as JSON, one a line.")] = False,
) -> None:
    """Print the output of a node, or the log of the firewall."""
    if firewall == (node is not None):
        raise InvalidArgument("testbed logs: give a node, or --firewall for the log of VPC firewall rules")
    if json and not firewall:
        raise InvalidArgument("--json: only --firewall has it; the output of a node is text")
    with opened(name) as (store, _):
        folder, nodes = store.folder, nodes_of(store)
        node = node and node_named(store, node)
    if node is None:
        log_lines.show(folder, follow=follow, tail=tail, json_=json)
        return
    for chunk in nodes.logs(node, follow=follow, tail=tail):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
