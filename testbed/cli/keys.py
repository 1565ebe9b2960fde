"""`key create`, `key list`, `key delete`: what lets a client be one service account, or another."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from testbed.cli import complete
from testbed.cli.context import Name, ask
from testbed.cli.output import JsonOption, print_json, results, table
from testbed.cli.secret_files import hand_out

keys = typer.Typer(no_args_is_help=True, help="Keys of service accounts, for callers of the control plane.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="key")


@keys.command()
def create(
    account: Annotated[
        str, typer.Argument(help="The service account: robot, or robot@PROJECT.iam.gserviceaccount.com.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The key file; stdout if none is given.")
    ] = None,
    name: Name = None,
) -> None:
    """Make a key file; clients use it as GOOGLE_APPLICATION_CREDENTIALS and call as that account."""
    content = ask(name, "key create", {"account": account})
    hand_out(json_module.dumps(content, indent=2) + "\n", output)


@keys.command(name="list")
def list_(
    account: Annotated[str | None, typer.Argument(help="Only the keys of this account.")] = None,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """List the valid keys."""
    found = ask(name, "key list", {"account": account})["keys"]
    if json:
        print_json(found)
    else:
        results.print(table(("key", "service account"), [(key["id"], key["account"]) for key in found]))


@keys.command()
def delete(
    key: Annotated[str, typer.Argument(help="The key's id.", autocompletion=complete.keys)],
    name: Name = None,
) -> None:
    """Delete a key; the testbed refuses calls with it from then on."""
    ask(name, "key delete", {"id": key})
    results.print(f"deleted key {key}")
