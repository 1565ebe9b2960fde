"""What commands print: results to stdout (tables, or JSON), everything about the work itself to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from testbed.control.state.progress import Progress, Report

results = Console(highlight=False)
results.width = max(results.width, 160)  # a table is not cut: a narrow terminal wraps its lines
errors = Console(stderr=True, highlight=False, soft_wrap=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: object) -> None:
    """Print a value as JSON, for programs."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A plain table in gcloud's manner: capital heads, no lines."""
    made = Table(title=title, title_justify="left", title_style="bold cyan", header_style="bold", box=None)
    made.pad_edge = False
    for column in columns:
        made.add_column(column.upper(), no_wrap=True)
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Report]:
    """Show progress on stderr: bars on a terminal, else a line when a phase begins and for what there is news of."""
    if quiet:
        yield lambda _: None
    elif errors.is_terminal:
        bars = _bars()
        try:
            yield _Drawn(bars)
        finally:
            bars.stop()
    else:
        yield _Told()


def _bars() -> Bars:
    return Bars(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.fields[phase]:<14}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.description}", table_column=Column(no_wrap=True)),
        console=errors,
        transient=False,
    )


class _Drawn:
    """A bar for each phase."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: Progress) -> None:
        self._bars.start()  # not before: bars of nothing are an empty line
        task = self._tasks.get(step.phase)
        if task is None:
            task = self._tasks[step.phase] = self._bars.add_task("", total=step.total, phase=step.phase)
        self._bars.update(task, completed=step.done, total=step.total, description=step.text)


class _Told:
    """Lines: a log does not want bars."""

    def __init__(self) -> None:
        self._phases: set[str] = set()

    def __call__(self, step: Progress) -> None:
        if step.phase not in self._phases:
            self._phases.add(step.phase)
            errors.print(f"{step.phase} ...", markup=False)
        if step.news is not None:
            errors.print(f"{step.phase}  {step.news}", markup=False)
