"""`status` and `ls`: what there is and how it is."""

from __future__ import annotations

from contextlib import suppress

import typer

from testbed.cli.context import Name, ask, require_root
from testbed.cli.output import JsonOption, print_json, results, table
from testbed.control.facts.sections import SECTIONS, TITLES
from testbed.control.state.folders import folder_of, names
from testbed.control.state.lock import holder
from testbed.control.state.summary import summary
from testbed.errors import NotFound, Unavailable
from testbed.json_object import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command(name="ls")(ls)
    app.command()(drops)


def status(name: Name = None, json: JsonOption = False) -> None:
    """Show a testbed: connectors and their instances, services and their URLs, nodes."""
    facts = ask(name, "status", {})
    if json:
        print_json(facts)
        return
    complete = "" if facts["complete"] else " [yellow](the last `up` did not finish)[/]"
    watched = f"controller pid {facts['controller']}, APIs at {facts['endpoint']}"
    results.print(f"testbed [bold]{facts['name']}[/]{complete}, {watched}")
    for title, columns in SECTIONS.items():
        if rows := facts[title]:
            results.print()
            cells = ([row[key] for key in columns] for row in rows)
            results.print(table([*columns.values()], cells, TITLES.get(title, title)))
    for note in facts["notes"]:
        results.print(f"\n[bold]note:[/] {note}")
    for row in facts["connectors"]:
        if row["detail"]:
            results.print(f"\n[bold red]{row['name']}:[/] {row['detail']}")


def ls(json: JsonOption = False) -> None:
    """List the testbeds of this machine."""
    require_root()
    rows: list[Json] = []
    for name in names():
        with suppress(NotFound):  # a `down` may be removing it
            rows.append({**_summary(name), "controller": holder(folder_of(name))})
    if json:
        print_json(rows)
    elif not rows:
        results.print("testbed: none is running; `testbed up` starts one")
    else:
        columns = {"name": "name", "complete": "complete", "controller": "controller", "source": "topology"}
        results.print(table([*columns.values()], ([_word(row[key]) for key in columns] for row in rows)))
    for row in rows:
        if row["error"] and not json:
            results.print(f"\n[bold red]{row['name']}:[/] {row['error']}; remove it: testbed down --name {row['name']}")


def _summary(name: str) -> Json:
    """What a testbed's state says of it, or why it says nothing; others are listed all the same."""
    try:
        return {**summary(name), "error": None}
    except Unavailable as error:
        return {"name": name, "id": None, "source": None, "complete": None, "error": error.message}


def _word(value: object) -> object:
    """A fact as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else value


def drops(name: Name = None, json: JsonOption = False) -> None:
    """Show which rules have dropped packets since they were made, why, and what would let the packets pass."""
    found = ask(name, "drops", {})["drops"]
    if json:
        print_json(found)
        return
    if not found:
        results.print("no rule has dropped a packet")
        return
    columns = ("place", "rule", "packets", "cause")
    results.print(table(columns, ([row[key] for key in columns] for row in found)))
    for text, remedy in dict.fromkeys((row["text"], row["remedy"]) for row in found):
        results.print(f"\n{text}\n  remedy: {remedy}", markup=False)
