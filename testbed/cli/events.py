"""`events`: what has happened to a testbed, in order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from testbed.cli.context import Name, ask
from testbed.json_object import Json

WAIT = 20.0
"""Seconds that the controller waits for something new before it answers that there is nothing."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only so many of the last ones.")] = None,
    name: Name = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print what has happened: operations, instances and their health, learned routes, nodes, faults."""
    for event in _told(name, follow=follow, tail=tail):
        sys.stdout.write((json.dumps(event) if json_ else _line(event)) + "\n")
        sys.stdout.flush()


def _told(name: str | None, *, follow: bool, tail: int | None) -> Iterator[Json]:
    told = ask(name, "events", {"after": 0})
    found: list[Json] = told["events"]
    yield from found if tail is None else found[len(found) - tail :] if tail < len(found) else found
    while follow:
        told = ask(name, "events", {"after": told["last"], "wait": WAIT})
        yield from told["events"]


def _line(event: Json) -> str:
    moment = datetime.fromtimestamp(event["at"], UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f"{moment}Z {event['kind']:9} {event['subject'].rpartition('/')[2]} {event['text']}"
