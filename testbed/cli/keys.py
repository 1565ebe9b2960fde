"""`key create`, `key list`, `key delete`: what lets a client be one service account, or another."""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from testbed.api.callers.identity import Identity
from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.cli import complete
from testbed.cli.context import Name
from testbed.cli.output import JsonOption, print_json, results, table
from testbed.cli.secret_files import hand_out
from testbed.cli.state import opened
from testbed.control.state.folders import folder_of
from testbed.errors import InvalidArgument

_SHORT = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
_FULL = re.compile(r"[-a-z0-9.]+@[-a-z0-9.]+\.gserviceaccount\.com")

keys = typer.Typer(no_args_is_help=True, help="Keys of service accounts: who calls the control plane.")


def _completed(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of the testbed that the command line is about, by their ids."""
    name = complete.chosen(context)
    return complete.offered(incomplete, lambda: _ids(name) if name else [])


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
    """Make a key: what is called with it (GOOGLE_APPLICATION_CREDENTIALS) is called by that account."""
    with _opened(name) as (known, project):
        content = Identity(known).create_key(_email(account, project), project)
    hand_out(json_module.dumps(content, indent=2) + "\n", output)


@keys.command(name="list")
def list_(
    account: Annotated[str | None, typer.Argument(help="Only those of this account.")] = None,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """List the keys that hold."""
    with _opened(name) as (known, project):
        wanted = _email(account, project) if account else None
        found = [key for key in known.all() if not key.deleted and wanted in (None, key.email)]
    if json:
        print_json([{"id": key.id, "account": key.email} for key in found])
    else:
        results.print(table(("key", "service account"), [(key.id, key.email) for key in found]))


@keys.command()
def delete(
    key: Annotated[str, typer.Argument(help="The key's id.", autocompletion=_completed)],
    name: Name = None,
) -> None:
    """Delete a key: calls with it are refused from now on."""
    with _opened(name) as (known, _):
        known.delete(key)
    results.print(f"deleted key {key}")


@contextmanager
def _opened(name: str | None) -> Iterator[tuple[SqliteKeys, str]]:
    """The keys of a testbed, and its project."""
    with opened(name) as (store, topology), SqliteKeys.open(store.folder / KEYS) as known:
        yield known, topology.project


def _ids(name: str) -> list[str]:
    with SqliteKeys.open(folder_of(name) / KEYS) as known:
        return [key.id for key in known.all() if not key.deleted]


def _email(account: str, project: str) -> str:
    """The address of a service account.

    Raises:
        InvalidArgument: it is none.
    """
    if _SHORT.fullmatch(account):
        return f"{account}@{project}.iam.gserviceaccount.com"
    if not _FULL.fullmatch(account):
        raise InvalidArgument(
            f"{account!r} is not a service account: write robot@{project}.iam.gserviceaccount.com, or an id of 6 to 30"
            " lower-case letters, digits and hyphens"
        )
    return account
