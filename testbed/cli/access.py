"""`exec`, `invoke`, `logs`: into a node, to a service."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from testbed.cli import complete, log_lines
from testbed.cli.context import Name, node_named, nodes_of, only, opened
from testbed.cli.output import JsonOption, errors, print_json
from testbed.cli.view import by_name
from testbed.control import invocation
from testbed.control.state.store import Store
from testbed.errors import InvalidArgument, NotFound
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology

HTTP_ERROR = 400

Node = Annotated[str, typer.Argument(help="A node, as `testbed status` lists them.", autocompletion=complete.nodes)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
        execute
    )
    app.command()(invoke)
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
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", help="Only so many last lines.")] = None,
    name: Name = None,
    json: Annotated[bool, typer.Option("--json", help="Print the firewall's records as JSON, one a line.")] = False,
) -> None:
    """Print what a node has written, or what the firewall has logged."""
    if firewall == (node is not None):
        raise InvalidArgument("give a node, or --firewall for the log of VPC firewall rules")
    if json and not firewall:
        raise InvalidArgument("--json goes with --firewall: what a node has written is text")
    with opened(name) as (store, _):
        folder, nodes = store.folder, nodes_of(store)
        node = node and node_named(store, node)
    if node is None:
        log_lines.show(folder, follow=follow, tail=tail, json_=json)
        return
    for chunk in nodes.logs(node, follow=follow, tail=tail):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def invoke(
    service: Annotated[
        str,
        typer.Argument(help="A serverless service, as `testbed status` lists them.", autocompletion=complete.services),
    ],
    path: Annotated[str, typer.Argument(help="Path and query, as /vm?path=/.")] = "/",
    method: Annotated[str | None, typer.Option("--request", "-X", help="GET, or POST if there is data.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="The request's body.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="A header, as 'Name: value'.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 60.0,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Call a service from the internet, through the front end.  Prints the body; fails if the status is 400 or more."""
    with opened(name) as (store, topology):
        workload = _service(store, topology, service)
        request = method or ("GET" if data is None else "POST")
        status, reason, _, body = invocation.request(
            store,
            workload.host,
            request,
            f"{workload.path}/{path.lstrip('/')}",
            headers=_headers(header or []),
            body=None if data is None else data.encode(),
            timeout=timeout,
        )
    if json:
        print_json({"status": status, "body": body.decode(errors="replace")})
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    if status >= HTTP_ERROR:
        errors.print(f"HTTP {status} {reason}")
        raise typer.Exit(1)


def _service(store: Store, topology: Topology, service: str) -> Workload:
    known = by_name(store, topology.served)
    found = only(service, {name: workload.id for name, workload in known.items()}, "services")
    if found is None:
        raise NotFound(f"there is no service {service!r} (services: {', '.join(known) or 'none'})")
    return known[found]


def _headers(given: list[str]) -> dict[str, str]:
    headers = {}
    for line in given:
        key, colon, value = line.partition(":")
        if not colon or "\n" in line or "\r" in line:
            raise InvalidArgument(f"a header is written as 'Name: value', not {line!r}")
        headers[key.strip()] = value.strip()
    return headers
