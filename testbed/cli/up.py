"""`up`: makes a testbed what its topology says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from testbed.cli import module, topology_argument
from testbed.cli.context import chosen, require_root
from testbed.cli.options import Delay
from testbed.cli.output import JsonOption, errors, print_json, progress, results
from testbed.cli.topology_argument import TopologyText
from testbed.control.accept import deletions
from testbed.control.accept.empty_testbed import NAME, PROJECT, REGION
from testbed.control.channel.client import session
from testbed.control.controller_process import discard_unless_begun, ensure_controller
from testbed.control.state import layout
from testbed.control.state.folders import exists, folder_of, names
from testbed.errors import FailedPrecondition, Internal, InvalidArgument, TestbedError, Unavailable
from testbed.json_object import Json

PATIENCE = 600.0
"""Seconds that a command waits for a `down` that works on the same testbed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The topology file, - for stdin.  Without one: testbed.yaml here, else the testbed that is there as it"
            " is, else the example."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", envvar="TESTBED_NAME", help="Another name than the file's.")
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Make a testbed for API calls, without a file: as empty as a new project.")
    ] = False,
    project: Annotated[str | None, typer.Option(help=f"Of an empty testbed; {PROJECT}.")] = None,
    region: Annotated[str | None, typer.Option(help=f"Its default region; {REGION}.")] = None,
    zone: Annotated[str | None, typer.Option(help=f"Its default zone; {REGION}-a.")] = None,
    default_network: Annotated[
        bool, typer.Option(help="Whether an empty testbed has the network `default` of a new project.")
    ] = True,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait until the testbed matches the topology.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete what an API has made and the file lacks.")] = False,
    secrets: Annotated[
        Path | None,
        typer.Option(help="A YAML file with the values, `NAME: value`, of what the topology writes as `secret:NAME`."),
    ] = None,
    operation_delay: Delay = None,
    strict_projects: Annotated[
        bool | None,
        typer.Option(help="Whether calls about projects that were never made get 403, as Google's; not at first."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the testbed that a topology file describes; a second time changes nothing."""
    require_root()
    if empty and file is not None:
        raise typer.BadParameter("an empty testbed has no file")
    if not empty and (project or region or zone or not default_network):
        raise typer.BadParameter("project, region, zone and networks stand in the file: these options are for --empty")
    asked: Json = {"operationDelay": operation_delay, "detach": detach, "confirmed": yes}
    asked["strictProjects"] = strict_projects
    if empty:
        target = name or NAME
        given = {"project": project, "region": region, "zone": zone, "defaultNetwork": default_network}
        asked |= {"source": "empty", "empty": given}
    elif file is None and (known := _present(name)):
        target = known
        asked |= {"source": ""}
    else:
        topology = topology_argument.read(file)
        target = name or _name_of(topology)
        asked |= {
            "text": topology.text,
            "file": topology.file,
            "folder": str(topology.folder),
            "source": topology.source,
            "secrets": topology_argument.secrets(secrets) if secrets else {},
        }
    folder = folder_of(target)
    layout.require_of(target)
    owner = int(os.environ.get("SUDO_UID") or 0)
    ensure_controller(target, folder, owner=owner, patience=PATIENCE, waiting=errors.print)
    try:
        done = _made(target, asked, json=json)
    except TestbedError:
        discard_unless_begun(target, folder)
        raise
    if detach:
        _accepted(target, json=json)
        return
    _show(done, json=json, example=Path(asked["source"]) == topology_argument.EXAMPLE)
    if done["failed"]:
        failed = ", ".join(sorted(done["failed"]))
        raise Internal(f"{failed}: Operation failed: {next(iter(done['failed'].values()))}", hint=_hint(done["failed"]))


def _hint(failed: Iterable[str]) -> str:
    """What to look at where these resources did not become ready."""
    if any("/connectors/" in name for name in failed):
        return "do firewall rules block the health checks (35.191.0.0/16, 130.211.0.0/22 to tcp:667)?"
    first = min(failed).rpartition("/")[2]
    return f"`testbed logs {first}` shows what the container has printed"


def _made(name: str, asked: Json, *, json: bool) -> Json:
    """What came of the request; a person at a terminal is asked before anything is deleted that an API has made."""
    try:
        return _ask(name, asked, json=json)
    except FailedPrecondition as error:
        if error.reason != deletions.REASON or json or not sys.stdin.isatty():
            raise
        errors.print(error.message, markup=False, highlight=False)
        if not typer.confirm("Delete them?", err=True):
            raise
        return _ask(name, {**asked, "confirmed": True}, json=json)


def _ask(name: str, asked: Json, *, json: bool) -> Json:
    with progress(quiet=json) as report, session(folder_of(name)) as found:
        if found is None:
            raise Unavailable(f"controller of testbed {name!r}: it has ended", hint="try again")
        return found.ask("up", asked, report)


def _present(name: str | None) -> str | None:
    """The testbed that `up` without a file is about, if it is there: the one that was named, or the only one.

    Raises:
        InvalidArgument: none was named, and there are several.
    """
    if topology_argument.DEFAULT_FILE.exists():
        return None
    if name is None:
        return chosen(None) if names() else None
    return name if exists(name) else None


def _name_of(given: TopologyText) -> str:
    """The name that a topology gives its testbed.

    Raises:
        InvalidArgument: it gives none that could be one; the file's errors are listed.
    """
    found = given.name
    try:
        folder_of(found or "")
    except InvalidArgument:
        module("check").refuse(given)
    return found or ""


def _accepted(name: str, *, json: bool) -> None:
    if json:
        print_json({"name": name, "accepted": True})
    else:
        results.print(f"testbed [bold]{name}[/] is being made; `testbed status --name {name}` shows how far it is")


def _show(done: Json, *, json: bool, example: bool) -> None:
    endpoint = f"http://127.0.0.1:{done['port']}"
    if json:
        shown = ("changed", "started", "stopped", "kernelChanges", "configured", "failed", "notes")
        print_json({"name": done["name"], "endpoint": endpoint, **{key: done[key] for key in shown}})
        return
    if not done["changed"]:
        results.print(f"testbed [bold]{done['name']}[/] is as its topology says; nothing was changed")
        _facts(endpoint, done["notes"])
        return
    results.print(
        f"testbed [bold]{done['name']}[/] is up: {len(done['started'])} nodes started,"
        f" {len(done['stopped'])} stopped, {done['kernelChanges']} changes in the kernel"
    )
    for row in done["connectors"]:
        healthy = f"{row['healthy']} of {row['instances']} instances healthy"
        results.print(f"  connector {row['name']}: {row['state']}, {healthy}")
    _facts(endpoint, done["notes"])
    _suggest(done, example=example)


def _facts(endpoint: str, noted: list[str]) -> None:
    results.print(f"  Google's APIs are at {endpoint}")
    for note in noted:
        results.print(f"  note: {note}")


def _suggest(done: Json, *, example: bool) -> None:
    """What to try next.  The services of the example have paths of their own; a fresh connection meets every rule."""
    tries: list[tuple[str, str]] = []
    services, instances = done["services"], done["instances"]
    if services:
        what = "a request through the front end"
        path, way = (" '/vm?fresh=1'", ", the connector and the firewall") if example else ("", "")
        tries.append((f"testbed invoke {services[0]}{path}", f"{what}{way}"))
    if instances:
        tries.append((f"testbed logs {instances[0]}", "who called, as the VM saw it"))
    if services:
        tries.append(("testbed load", "a load test"))
    tries += [
        ('eval "$(testbed env)"', "gcloud, Terraform and client libraries talk to it"),
        ("testbed status", "the whole picture"),
        ("testbed down", "remove it"),
    ]
    results.print("\ntry next:")
    width = max(len(command) for command, _ in tries)
    for command, text in tries:
        results.print(f"  {command:<{width}}  [dim]{text}[/]")
