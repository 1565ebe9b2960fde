"""`load`: Locust in its own container on the internet segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from socket import socket
from typing import Annotated

import typer
from rich.live import Live

from testbed.cli import complete
from testbed.cli.context import Name, ask, no_controller
from testbed.cli.duration import seconds
from testbed.cli.output import JsonOption, errors, print_json, results
from testbed.cli.secret_files import give
from testbed.cli.state import nodes_of, opened
from testbed.control.channel.client import session
from testbed.control.facts.names import by_name
from testbed.control.facts.traffic import InstanceTraffic
from testbed.control.state.store import Store
from testbed.fabric.allocation.keys import AddressKey
from testbed.kernel import namespace
from testbed.load import web
from testbed.load.report import progress_line, report
from testbed.load.request import LoadRequest, LoadTarget
from testbed.load.result import LoadProgress, summary
from testbed.load.run import run
from testbed.model.core.well_known import LOAD_GENERATOR
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.paths import LOADTESTS, reports_folder

_FOLDER = "/workspace"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(load)


def load(
    scenario: Annotated[
        str,
        typer.Argument(
            help="A scenario of loadtests/, or the path of a Locust file.", autocompletion=complete.load_scenarios
        ),
    ] = "mixed",
    users: Annotated[int, typer.Option("--users", "-u", min=1, help="Simulated users.")] = 20,
    spawn_rate: Annotated[float, typer.Option("--spawn-rate", "-r", min=0.001, help="Users per second.")] = 10.0,
    duration: Annotated[str, typer.Option("--duration", "-t", help="The duration, as 30, 30s or 2m.")] = "30s",
    ui: Annotated[bool, typer.Option("--ui", help="Serve Locust's web page instead.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the web page on 127.0.0.1.")] = web.WEB_PORT,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Put load on the services; the command fails if a request failed."""
    with opened(name) as (store, topology):
        request = _request(store, topology, scenario, users, spawn_rate, int(seconds(duration)))
        with _generator(store) as generator:
            if ui:
                _serve(generator, request, port)
                return
            with Live(console=errors, auto_refresh=False, transient=True, redirect_stdout=False) as live:

                def show(progress: LoadProgress) -> None:
                    if errors.is_terminal:
                        live.update(progress_line(request, progress), refresh=True)

                result, folder = run(
                    generator,
                    request,
                    scenarios=LOADTESTS,
                    loads=reports_folder(store.name),
                    counters=lambda: _traffic(store.name),
                    on_progress=show,
                )
                give(folder)
    if json:
        print_json({**summary(result), "folder": str(folder)})
    else:
        results.print(report(result, folder))
    if result.failed:
        raise typer.Exit(1)


def _request(
    store: Store, topology: Topology, scenario: str, users: int, spawn_rate: float, duration: int
) -> LoadRequest:
    front_end = store.running.allocations.addresses.get(AddressKey.front_end())
    connected = {name: w for name, w in by_name(store, topology.served).items() if w.connector}
    return LoadRequest(
        scenario,
        tuple(LoadTarget(name, f"http://{w.host}{w.path}", front_end) for name, w in connected.items()),
        users,
        spawn_rate,
        duration,
        tuple(dict.fromkeys(topology.connector_range(c) for c in topology.vpcaccess.connectors)),
    )


@dataclass(slots=True)
class _Container:
    """The load generator's container, as `testbed.load` sees it."""

    nodes: DockerNodes

    def put_file(self, path: str, content: bytes) -> None:
        self.nodes.put_file(LOAD_GENERATOR, _FOLDER, path, content)

    def execute(self, argv: Sequence[str], on_output: Callable[[bytes], None]) -> int:
        return self.nodes.capture(LOAD_GENERATOR, argv, on_output=on_output, directory=_FOLDER)[0]

    def interrupt(self) -> None:
        self.nodes.capture(LOAD_GENERATOR, ["pkill", "-INT", "-x", "locust"])

    def fetch(self, path: str) -> bytes:
        return self.nodes.fetch_file(LOAD_GENERATOR, f"{_FOLDER}/{path}")


@contextmanager
def _generator(store: Store) -> Iterator[_Container]:
    """Put the load generator on the internet segment for as long as it is needed.

    Raises:
        Unavailable: if another load is running on this testbed, or its controller does not run.
    """
    with session(store.folder) as found:
        if found is None:
            raise no_controller(store.name)
        with found.holding("load"):
            yield _Container(nodes_of(store))


def _traffic(name: str) -> list[InstanceTraffic]:
    """What each connector instance has carried until now."""
    return [InstanceTraffic(**one) for one in ask(name, "traffic", {})["instances"]]


def _serve(generator: _Container, request: LoadRequest, port: int) -> None:
    pid = generator.nodes.running()[LOAD_GENERATOR].pid

    def open_page() -> socket:
        return namespace.connect(f"/proc/{pid}/ns/net", ("127.0.0.1", web.WEB_PORT), 5.0)

    web.serve(
        generator,
        request,
        scenarios=LOADTESTS,
        connect=open_page,
        port=port,
        on_ready=lambda url: errors.print(f"Locust's page: {url} (Ctrl-C ends it)"),
    )
