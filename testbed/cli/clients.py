"""`env`, `export`: for the clients of a testbed's control plane."""

from __future__ import annotations

import json as json_module
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from testbed.api import clients
from testbed.api.callers.owner_token import owner_token
from testbed.cli.context import Name, ask
from testbed.cli.output import JsonOption, errors, print_json
from testbed.cli.secret_files import give, hand_out, write
from testbed.cli.state import opened
from testbed.model.core.annotations import annotated
from testbed.model.core.resource import SourceFolder
from testbed.model.kinds import KINDS
from testbed.paths import client_folder
from testbed.topology_export import export as exported

OWN = "testbed"
"""The service account that client libraries are, unless they are given another one's key."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(env)
    app.command()(export)


def env(
    proxy: Annotated[
        bool, typer.Option("--proxy", help="Print a proxy and a CA for all clients, and override no endpoint.")
    ] = False,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Print the variables that point gcloud, Terraform and client libraries at a testbed: eval "$(testbed env)"."""
    facts = ask(name, "endpoint", {})
    folder = client_folder(facts["name"])
    token = owner_token(facts["name"], facts["id"])
    endpoint = clients.Endpoint(facts["port"], folder, facts["project"], facts["region"], facts["zone"], token)
    _prepare(facts["name"], endpoint)
    variables = clients.proxy(endpoint) if proxy else clients.overrides(endpoint)
    if json:
        print_json(variables)
        return
    for variable, value in variables.items():
        sys.stdout.write(f"export {variable}={shlex.quote(value)}\n")


def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; stdout if none is given.")] = None,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Write shared secrets in clear, and not as secret:NAME.")
    ] = False,
    name: Name = None,
) -> None:
    """Write the running state as a topology file; `testbed up` makes the same state of it.

    The shared secrets of VPN tunnels are left out: the testbed itself knows them, another one is given them by
    `testbed up --secrets FILE`.  Source code that was uploaded goes into a folder beside the file.
    """
    with opened(name) as (store, topology):
        others = [(record.kind, record.name) for record in store.resources.all() if record.kind not in KINDS]
        uploaded = {
            found.value: Path(found.value)
            for found in annotated(topology, SourceFolder)
            if Path(found.value).is_relative_to(store.folder)
        }
        kept = _keep(uploaded, output) if output is not None else {}
    if uploaded and output is None:
        errors.print(
            f"note: source code is in {store.folder}, and goes with the testbed; --output keeps it", markup=False
        )
    hand_out(exported(topology, left_out=others, folders=kept, with_secrets=with_secrets), output)


def _keep(uploaded: Mapping[str, Path], output: Path) -> dict[str, str]:
    """Copy source folders beside a file; says by which relative path each is found from there."""
    kept: dict[str, str] = {}
    for value, folder in uploaded.items():
        copy = output.parent / f"{output.stem}-sources" / folder.name
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        kept[value] = str(copy.relative_to(output.parent))
    if kept:
        give(output.parent / f"{output.stem}-sources")
    return kept


def _prepare(name: str, endpoint: clients.Endpoint) -> None:
    """Make what clients are pointed at: a key of the testbed's own service account, and gcloud's folder.

    The key file names the token endpoint by the testbed's own address: a client without a proxy reaches no other.
    """
    credentials, gcloud = endpoint.folder / clients.CREDENTIALS, endpoint.folder / clients.GCLOUD
    if credentials.exists():
        key = json_module.loads(credentials.read_text())
    else:
        key = ask(name, "key create", {"account": f"{OWN}@{endpoint.project}.iam.gserviceaccount.com"})
    if key["token_uri"] != endpoint.token_uri:
        write(credentials, json_module.dumps({**key, "token_uri": endpoint.token_uri}, indent=2))
    gcloud.mkdir(mode=0o700, exist_ok=True)
    give(credentials)
    give(gcloud)
