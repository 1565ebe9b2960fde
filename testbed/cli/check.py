"""`validate`, `schema`, `doctor`: what can be known without a testbed."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from testbed.capability import Capability, missing
from testbed.cli.context import require_root
from testbed.cli.output import JsonOption, errors, print_json, progress, results, table
from testbed.cli.topology_argument import TopologyText
from testbed.control.state.progress import Progress
from testbed.errors import Unimplemented
from testbed.kernel import capabilities as kernel_capabilities
from testbed.model.topology import Topology
from testbed.nodes import capability as node_capabilities
from testbed.nodes.playbook import run_playbook
from testbed.paths import PLAYBOOKS
from testbed.topology_file import InvalidTopology, load, parse

_CITATION = re.compile(r"\s*\((?:as )?behaviour [0-9., ]+[^)]*\)")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(validate)
    app.command()(schema)
    app.command()(doctor)


def validate(file: Annotated[Path, typer.Argument(help="The topology file.")], json: JsonOption = False) -> None:
    """Check a topology file, and make nothing."""
    try:
        topology = load(file)
    except InvalidTopology as error:
        if not json:
            raise
        print_json({"valid": False, "faults": [asdict(fault) for fault in error.faults]})
        raise typer.Exit(error.exit_status) from error
    warnings = [
        f"connector {c.id}: the console would refuse this name (less than 21 characters, hyphens count twice)"
        for c in topology.vpcaccess.connectors
        if c.console_would_refuse
    ]
    if json:
        print_json({"valid": True, "warnings": warnings})
        return
    for warning in warnings:
        errors.print(f"[yellow]warning:[/] {warning}")
    results.print(f"{file}: valid")


def refuse(given: TopologyText) -> None:
    """Say what is wrong with a topology whose name cannot be told.

    Raises:
        InvalidTopology: with everything that is wrong.
    """
    parse(given.text, given.file, given.folder)


def schema() -> None:
    """Print the JSON schema of topology files, for editors."""
    made = Topology.model_json_schema(by_alias=True)
    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **_for_users(made)})


def _for_users(value: Any) -> Any:
    """A schema without the numbers by which our descriptions cite docs/behaviour.md."""
    if isinstance(value, dict):
        return {key: _for_users(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_for_users(inner) for inner in value]
    return _CITATION.sub("", value) if isinstance(value, str) else value


def doctor(
    json: JsonOption = False,
    prepare: Annotated[bool, typer.Option("--prepare", help="Install what can be installed (Debian).")] = False,
) -> None:
    """List the abilities of this machine, the cost of each missing one, and the way to get it."""
    require_root()
    if prepare:
        with progress(quiet=json) as report:
            run_playbook(PLAYBOOKS / "host.yml", lambda event: report(Progress("host", event.task)), become=False)
    found = [*kernel_capabilities.probe(), *node_capabilities.probe()]
    lacking = missing(found)
    if json:
        print_json({"ready": not lacking, "capabilities": [asdict(capability) for capability in found]})
    else:
        if not prepare:
            _table(found)
        _explain(found)
    if lacking:
        names = ", ".join(capability.name for capability in lacking)
        raise Unimplemented(
            f"this machine: it lacks {names}, which every testbed needs", hint="testbed doctor --prepare"
        )


def _table(found: list[Capability]) -> None:
    def row(capability: Capability) -> tuple[str, str, str]:
        mark = "[green]yes[/]" if capability.present else ("[red]NO[/]" if capability.need == "required" else "no")
        return capability.name, mark, capability.detail

    results.print(table(["capability", "present", "seen"], map(row, found)))


def _explain(found: list[Capability]) -> None:
    """What the machine lacks."""
    for capability in found:
        if not capability.present:
            results.print(f"[bold]no {capability.name}:[/] {capability.cost}\n  [dim]{capability.remedy}[/]")
