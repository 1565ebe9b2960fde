"""`env`, `key`, `export`: for the clients of a testbed's control plane."""

from __future__ import annotations

import json as json_module
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from testbed.api import clients
from testbed.api.identity import Identity
from testbed.api.keys import SqliteKeys
from testbed.api.server import KEYS
from testbed.cli.context import Name, opened
from testbed.cli.output import Json, errors, print_json, results
from testbed.control.lock import CONTROLLER, holder
from testbed.control.store import Store
from testbed.errors import Unavailable
from testbed.model.kinds import KINDS
from testbed.paths import client_folder
from testbed.topology_export import export as write_topology

key = typer.Typer(no_args_is_help=True, help="Keys of service accounts.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(env)
    app.command(name="export")(export)
    app.add_typer(key, name="key")


def env(
    proxy: Annotated[
        bool, typer.Option("--proxy", help="Override nothing: a proxy and a CA, for every client at once.")
    ] = False,
    name: Name = None,
    json: Json = False,
) -> None:
    """Print what points gcloud, Terraform and client libraries at a testbed: eval "$(testbed env)"."""
    with opened(name) as (store, topology):
        _require_server(store)
        folder = client_folder(store.name)
        endpoint = clients.Endpoint(store.port, folder, topology.project, topology.region, topology.zone)
        _prepare(store, folder, topology.project)
    variables = clients.proxy(endpoint) if proxy else clients.overrides(endpoint)
    if json:
        print_json(variables)
        return
    for variable, value in variables.items():
        sys.stdout.write(f"export {variable}={shlex.quote(value)}\n")


def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; stdout if none is given.")] = None,
    name: Name = None,
) -> None:
    """Write the running state as a topology file: `testbed up` of it makes the same state.

    It has the shared secrets of VPN tunnels.
    """
    with opened(name) as (store, topology):
        others = [(record.kind, record.name) for record in store.resources.all() if record.kind not in KINDS]
    text = write_topology(topology, left_out=others)
    if output is None:
        sys.stdout.write(text)
    else:
        _write(output, text)
        errors.print(f"written: {output}")


@key.command()
def create(
    email: Annotated[str, typer.Argument(help="The service account, as robot@PROJECT.iam.gserviceaccount.com.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The key file; stdout if none is given.")
    ] = None,
    name: Name = None,
) -> None:
    """Make a key of a service account: what is called with it is called by that account."""
    with opened(name) as (store, topology), SqliteKeys.open(store.folder / KEYS) as keys:
        content = Identity(keys).create_key(email, topology.project)
    text = json_module.dumps(content, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        _write(output, text)
        results.print(f"created key {content['private_key_id']} of {email} as {output}")


def _require_server(store: Store) -> None:
    """Refuse to name an endpoint that nobody answers at.

    Raises:
        Unavailable: the controller does not run.
    """
    if not store.port or not holder(store.folder, CONTROLLER):
        raise Unavailable(f"the control plane of testbed {store.name!r} does not run", hint="testbed up starts it")


def _prepare(store: Store, folder: Path, project: str) -> None:
    """Make what clients are pointed at: credentials of the testbed's own service account, and gcloud's folder."""
    credentials = folder / clients.CREDENTIALS
    if not credentials.exists():
        email = f"testbed@{project}.iam.gserviceaccount.com"
        with SqliteKeys.open(store.folder / KEYS) as keys:
            _write(credentials, json_module.dumps(Identity(keys).create_key(email, project), indent=2))
    gcloud = folder / clients.GCLOUD
    gcloud.mkdir(mode=0o700, exist_ok=True)
    for path in (credentials, gcloud):
        _give(path)


def _write(path: Path, text: str) -> None:
    """Write a file with a secret in it: its owner's alone."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    _give(path)


def _give(path: Path) -> None:
    """Let a file be that of the user who called sudo(8)."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user and group:
        os.chown(path, int(user), int(group))
