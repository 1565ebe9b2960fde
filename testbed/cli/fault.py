"""`fault add`, `fault list`, `fault clear`: what the next calls of an API are to meet."""

from __future__ import annotations

from typing import Annotated

import typer

from testbed.cli.context import Name, ask
from testbed.cli.output import JsonOption, print_json, results, table

fault = typer.Typer(no_args_is_help=True, help="Faults on demand, for tests of a caller's error handling.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(fault, name="fault")


@fault.command()
def add(
    kind: Annotated[
        str,
        typer.Argument(
            help="error: the call is refused.  quota: the call is refused, or its operation fails, for lack of quota."
            "  failure: the operation fails.  unhealthy: a connector does not get healthy and is left in ERROR."
            "  stuck: a connector stays in CREATING until the faults are cleared."
            "  leftover-rule: a deleted connector's aet-* rule stays behind."
        ),
    ],
    method: Annotated[
        str | None, typer.Option(help="Methods, as a pattern of their ids: 'connectors.create', 'compute.*'.")
    ] = None,
    resource: Annotated[
        str | None, typer.Option(help="Resources, as a pattern of their names: 'c1', 'projects/demo/*'.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=0, help="How often it strikes; 0: until it is cleared.")] = None,
    code: Annotated[str | None, typer.Option(help="A name of google.rpc.Code: UNAVAILABLE.")] = None,
    message: Annotated[str | None, typer.Option(help="The error message for the caller.")] = None,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Make the next creation fail, once; options choose other methods, resources and counts."""
    asked = {"kind": kind, "method": method, "resource": resource, "left": count, "code": code, "message": message}
    made = ask(name, "fault add", asked)
    if json:
        print_json(made)
    else:
        times = {0: "until it is cleared", 1: "once"}.get(made["left"], f"{made['left']} times")
        text = f"fault {made['number']}: {made['kind']} strikes {made['method']} of {made['resource']}, {times}"
        results.print(text, markup=False)


@fault.command(name="list")
def list_(name: Name = None, json: JsonOption = False) -> None:
    """List the faults that can still strike, and the operations that a fault holds up."""
    known = ask(name, "fault list", {})
    if json:
        print_json(known)
        return
    found, stuck = known["faults"], known["stuck"]
    columns = {"number": "fault", "kind": "kind", "method": "methods", "resource": "resources", "left": "left"}
    if found:
        results.print(table([*columns.values()], ([one[key] for key in columns] for one in found)))
    for one in stuck:
        results.print(f"stuck: {one['method']} of {one['resource']}", markup=False)
    if not found and not stuck:
        results.print("no fault waits; `testbed fault add` makes one")


@fault.command()
def clear(
    number: Annotated[int | None, typer.Argument(help="Only this fault.")] = None,
    name: Name = None,
    json: JsonOption = False,
) -> None:
    """Remove the faults; operations that they held up go on."""
    cleared = ask(name, "fault clear", {"number": number})
    if json:
        print_json(cleared)
    else:
        results.print(f"{cleared['removed']} faults removed")
