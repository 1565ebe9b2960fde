"""`up`, `down`, `serve`: the life of a testbed."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from testbed.api.frontdoor import certificates
from testbed.api.server import PORT, Server
from testbed.cli import requested_topology
from testbed.cli.context import Name, chosen, nodes_of, require_root
from testbed.cli.output import JsonOption, building, errors, print_json, progress, results
from testbed.cli.view import connector_rows, notes
from testbed.control import controller
from testbed.control.accept import forbidden_changes
from testbed.control.accept.plane import ControlPlane
from testbed.control.controller_process import ensure_controller
from testbed.control.realise.reconciler import Outcome, Reconciler
from testbed.control.realise.teardown import clear, discarded_unless_begun, tear_down
from testbed.control.state.lock import sign, writing
from testbed.control.state.progress import Report
from testbed.control.state.store import Store, exists, folder_of
from testbed.errors import Aborted, Internal, NotFound
from testbed.json_object import Json
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect
from testbed.nodes.images import Images

Delay = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="FACTOR",
        help="Operations of the API take this part of the time that Google's take: 1 for all of it; 0 at first.",
    ),
]
PATIENCE = 600.0
"""Seconds that a command waits for another one that works on the same testbed."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(serve)


def up(
    file: Annotated[
        Path | None,
        typer.Argument(help="The topology file, - for stdin; testbed.yaml here if it exists, else the example."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", envvar="TESTBED_NAME", help="Another name than the file's.")
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Without a file: nothing in it, for what an API makes.")
    ] = False,
    project: Annotated[str | None, typer.Option(help=f"Of an empty testbed; {requested_topology.PROJECT}.")] = None,
    region: Annotated[str | None, typer.Option(help=f"Its default region; {requested_topology.REGION}.")] = None,
    zone: Annotated[str | None, typer.Option(help=f"Its default zone; {requested_topology.REGION}-a.")] = None,
    operation_delay: Delay = None,
    json: JsonOption = False,
) -> None:
    """Make a testbed what its topology file says; a second time changes nothing."""
    require_root()
    if empty and file is not None:
        raise typer.BadParameter("an empty testbed has no file")
    if not empty and (project or region or zone):
        raise typer.BadParameter("project, region and zone stand in the file: these options are for --empty")
    topology, source = (
        (requested_topology.empty(name, project, region, zone), "empty")
        if empty
        else requested_topology.of_file(file, name)
    )
    client = connect()
    folder = folder_of(topology.name)
    with (
        progress(quiet=json) as report,
        stoppable(topology.name),
        writing(folder, create=True, patience=PATIENCE, waiting=errors.print),
        discarded_unless_begun(topology.name),
        Store.open(topology.name, create=True) as store,
    ):
        if empty:
            topology = requested_topology.as_it_is(store.topology, topology)
        forbidden_changes.check(store.topology, topology)
        store.source = source
        if operation_delay is not None:
            store.operation_delay = operation_delay
        images = Images(client, building(report))
        ca = certificates.ensure(store.folder, store.name).ca  # nodes trust it
        nodes = DockerNodes(topology.name, store.id, client, ca)
        outcome = Reconciler(store, nodes, images, report).converge(topology)
        ensure_controller(store.name, store.folder)
        rows, port, noted = list(connector_rows(store, topology)), store.port, notes(store, topology)
    _show(topology, outcome, rows, noted, port, json=json)
    if outcome.failed:
        names = ", ".join(sorted(outcome.failed))
        raise Internal(
            f"{names}: Operation failed: {next(iter(outcome.failed.values()))}",
            hint="do firewall rules block the health checks (35.191.0.0/16, 130.211.0.0/22 to tcp:667)?",
        )


@contextmanager
def stoppable(name: str) -> Iterator[None]:
    """Say what Ctrl-C leaves behind, and what to do about it.

    Raises:
        Aborted: on Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Aborted(
            f"interrupted: testbed {name!r} may be half-made",
            hint=f"`testbed up` goes on from here, `testbed down --name {name}` removes it",
        ) from None


def _show(
    topology: Topology, outcome: Outcome, connectors: list[Json], noted: list[str], port: int, *, json: bool
) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    if json:
        print_json(
            {
                "name": topology.name,
                "endpoint": endpoint,
                "changed": outcome.changed,
                "started": outcome.started,
                "stopped": outcome.stopped,
                "kernelChanges": len(outcome.changes),
                "configured": outcome.configured,
                "failed": outcome.failed,
                "notes": noted,
            }
        )
        return
    if not outcome.changed:
        results.print(f"testbed [bold]{topology.name}[/] is as its topology says; nothing was changed")
        _facts(endpoint, noted)
        return
    results.print(
        f"testbed [bold]{topology.name}[/] is up: {len(outcome.started)} nodes started,"
        f" {len(outcome.stopped)} stopped, {len(outcome.changes)} changes in the kernel"
    )
    for row in connectors:
        healthy = f"{row['healthy']} of {row['instances']} instances healthy"
        results.print(f"  connector {row['name']}: {row['state']}, {healthy}")
    _facts(endpoint, noted)
    _suggest(topology)


def _facts(endpoint: str, noted: list[str]) -> None:
    results.print(f"  Google's APIs are at {endpoint}")
    for note in noted:
        results.print(f"  note: {note}")


def _suggest(topology: Topology) -> None:
    """What to try next."""
    tries: list[tuple[str, str]] = []
    if topology.served:
        first = topology.served[0].id
        tries.append((f"testbed invoke {first} /vm", "a request through the front end, the connector and the firewall"))
    if topology.compute.instances:
        node = topology.compute.instances[0].name
        tries.append((f"testbed logs {node}", "who called, as the VM saw it"))
    if topology.served:
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


def down(name: Name = None, json: JsonOption = False) -> None:
    """Remove a testbed: containers, namespaces, processes, state.  Reports of load tests are kept."""
    require_root()
    target = chosen(name)
    folder = folder_of(target)
    with (
        progress(quiet=json) as report,
        stoppable(target),
        writing(folder, patience=PATIENCE, waiting=errors.print),
    ):
        removed = _removed(target, report) if exists(target) else None
        clear(folder)
    if removed is None:
        raise NotFound(f"there is no testbed {target!r}")
    if json:
        print_json({"name": target, "removed": removed})
    else:
        results.print(f"testbed [bold]{target}[/] is down: {len(removed)} containers and namespaces removed")


def _removed(name: str, report: Report) -> list[str]:
    with Store.open(name) as store:
        return tear_down(store, nodes_of(store), report)


def serve(
    name: Name = None,
    port: Annotated[int | None, typer.Option(help=f"Where the API listens on 127.0.0.1; {PORT} if it is free.")] = None,
    operation_delay: Delay = None,
    lock: Annotated[int | None, typer.Option(hidden=True, help="The lock that `up` hands over: a descriptor.")] = None,
) -> None:
    """Watch over a testbed in the foreground: health checks, replacement of failed connector instances.

    `up` starts this in the background; run it yourself, under a supervisor, where background processes do not survive.
    It waits for a testbed of the name, and for the next one.  `down` may end it.
    """
    require_root()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    for library in ("urllib3", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    target = chosen(name)
    images = Images(connect(), lambda *_: None)

    def serving(plane: ControlPlane) -> Server:
        if operation_delay is not None:
            plane.store.operation_delay = operation_delay
        return Server(plane, images, port=port or plane.store.port or PORT)

    if lock is None:
        controller.serve_always(target, stop, serving)
    else:
        os.set_inheritable(lock, False)
        controller.serve(target, stop, serving, lambda: sign(lock))
