"""What a person sees of a load test: one line while it runs, tables at its end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from testbed.load.request import REPORT, LoadRequest
from testbed.load.result import LoadProgress, LoadResult, Row

NUMBERS = ("requests", "failures", "req/s", "p50 ms", "p90", "p95", "p99", "max")


def progress_line(request: LoadRequest, progress: LoadProgress) -> Text:
    """One second of a running load."""
    text = Text.assemble(
        (request.name, "bold"),
        f"  {min(progress.seconds, request.duration):3.0f}/{request.duration} s"
        f"  {progress.users} users"
        f"  {progress.rps:.0f}/s"
        f"  p50 {progress.p50:.0f} ms  p95 {progress.p95:.0f} ms"
        f"  generator {progress.cpu:.0f}%  ",
    )
    return text.append(f"{progress.failures} failed", style="red" if progress.failures else "green")


def report(result: LoadResult, folder: Path) -> RenderableType:
    """The whole result: figures per request name, per connector instance, what failed, and where the files are."""
    parts: list[RenderableType] = [_requests(result)]
    if result.instances or result.outcome.sources:
        parts += ["", _instances(result)]
    if result.outcome.failures:
        parts += ["", _failures(result)]
    parts += ["", Text(f"generator {result.generator_cpu:.0f}% of a core, machine {result.machine_cpu:.0f}% busy")]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in result.warnings]
    parts.append(Text(f"report: {folder / REPORT}"))
    return Group(*parts)


def _requests(result: LoadResult) -> Table:
    request = result.request
    table = Table(
        title=f"{request.name}: {request.users} users, {result.outcome.seconds:.0f} s", title_justify="left", box=None
    )
    table.add_column("request")
    for heading in NUMBERS:
        table.add_column(heading, justify="right")
    for row in result.outcome.rows:
        table.add_row(Text(row.name), *_figures(row))
    table.add_row("all", *_figures(result.outcome.total), style="bold")
    return table


def _figures(row: Row) -> list[RenderableType]:
    times = [f"{time:.0f}" for time in (row.median, row.p90, row.p95, row.p99, row.max)]
    return [f"{row.requests}", Text(f"{row.failures}", style="red" if row.failures else ""), f"{row.rps:.1f}", *times]


def _instances(result: LoadResult) -> Table:
    """Traffic by connector instance, beside the requests that the far end saw come from each address.

    Only scenarios that ask the far end who has called know these; of others there is no such column.
    """
    seen: Counter[str] = Counter()
    for source in result.outcome.sources:
        seen[source.address] += source.requests
    known = bool(seen)
    table = Table(title="connector instances", title_justify="left", box=None)
    table.add_column("instance")
    table.add_column("address")
    for heading in ("flows", "bytes", *(["requests seen at the VM"] if known else [])):
        table.add_column(heading, justify="right")
    for one in result.instances:
        carried = "-" if one.bytes is None else decimal(one.bytes)
        requests = [f"{seen.pop(one.address, 0)}"] if known else []
        table.add_row(one.instance, one.address, f"{one.flows}", carried, *requests)
    for address, count in sorted(seen.items()):
        table.add_row("-", address, "-", "-", f"{count}")
    return table


def _failures(result: LoadResult) -> Table:
    table = Table(title="failures", title_justify="left", box=None)
    table.add_column("count", justify="right")
    table.add_column("request")
    table.add_column("what", overflow="fold")
    for failure in sorted(result.outcome.failures, key=lambda failure: -failure.count):
        table.add_row(f"{failure.count}", Text(failure.name), Text(failure.message), style="red")
    return table
