"""`invoke`: a request to a service."""

from __future__ import annotations

import base64
import sys
from typing import Annotated

import typer

from testbed.cli import complete
from testbed.cli.context import Name, ask
from testbed.cli.output import JsonOption, errors, print_json
from testbed.errors import InvalidArgument

HTTP_ERROR = 400


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(invoke)


def invoke(
    service: Annotated[
        str,
        typer.Argument(help="A serverless service, as `testbed status` lists them.", autocompletion=complete.services),
    ],
    path: Annotated[str, typer.Argument(help="Path and query, as /vm?path=/.")] = "/",
    method: Annotated[str | None, typer.Option("--request", "-X", help="GET, or POST if there is data.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="The request's body.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="A header, as 'Name: value'.")] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait for the answer.")] = 60.0,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Call a service from the internet, through the front end, and print the body.

    The command fails if the status is 400 or more.
    """
    answer = ask(
        name,
        "invoke",
        {
            "service": service,
            "method": method or ("GET" if data is None else "POST"),
            "path": path,
            "headers": _headers(header or []),
            "body": None if data is None else base64.b64encode(data.encode()).decode(),
            "timeout": timeout,
        },
    )
    status, body = int(answer["status"]), base64.b64decode(answer["body"])
    if json:
        print_json({"status": status, "body": body.decode(errors="replace")})
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    if status >= HTTP_ERROR:
        errors.print(f"HTTP {status} {answer['reason']}")
        raise typer.Exit(1)


def _headers(given: list[str]) -> dict[str, str]:
    headers = {}
    for line in given:
        key, colon, value = line.partition(":")
        if not colon or "\n" in line or "\r" in line:
            raise InvalidArgument(f"header {line!r}: it must be of the form 'Name: value'")
        headers[key.strip()] = value.strip()
    return headers
