"""Runs a load test in a load generator and keeps what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from testbed.control.facts.traffic import InstanceTraffic
from testbed.errors import AlreadyExists, NotFound, Unavailable
from testbed.load.request import REPORT, RESULTS, LoadRequest, files
from testbed.load.result import LoadProgress, LoadResult, summary, traffic_between
from testbed.load.telemetry import Telemetry

SUMMARY = "summary.json"
LOG = "locust.log"
ARTEFACTS = {
    REPORT: REPORT,
    f"{RESULTS}.json": "requests.json",
    f"{RESULTS}_stats_history.csv": "history.csv",
    "requests.csv": "requests.csv",
    "failures.csv": "failures.csv",
    "exceptions.csv": "exceptions.csv",
}
"""The files that a load leaves in the generator, and what they are called when they are kept."""


class Generator(Protocol):
    """Where Locust runs: a container on the internet segment, or a process.

    Paths are relative to a folder of the generator's own, which is the working directory of what it executes.
    """

    def put_file(self, path: str, content: bytes) -> None:
        """Writes a file, replacing one that is there."""

    def execute(self, argv: Sequence[str], on_output: Callable[[bytes], None]) -> int:
        """Runs a command to its end and returns its exit status; its output, both streams, goes to `on_output`."""

    def interrupt(self) -> None:
        """Sends SIGINT to what `execute` is running, if it is; does not wait.  Called from another thread."""

    def fetch(self, path: str) -> bytes:
        """Reads a file.  Raises NotFound if there is none."""


def run(
    generator: Generator,
    request: LoadRequest,
    *,
    scenarios: Path,
    loads: Path,
    counters: Callable[[], Sequence[InstanceTraffic]] = tuple,
    on_progress: Callable[[LoadProgress], None] = lambda _: None,
) -> tuple[LoadResult, Path]:
    """Runs a load test; returns what it measured and the folder, new in `loads`, that holds the reports.

    `scenarios` is the folder of Locust files, `counters` reads the connector instances, `on_progress` is called about
    once a second, from another thread.  Ctrl-C ends the load early and the result says what was measured until then.

    Raises NotFound or InvalidArgument for a wrong scenario, Unavailable if the load did not begin.
    """
    for name, content in files(request, scenarios).items():
        generator.put_file(name, content)
    began = datetime.now(UTC)
    folder = _new_folder(loads, f"{began:%Y%m%dT%H%M%SZ}-{request.name}")
    telemetry = Telemetry(on_progress)
    before = counters()
    exit_status, interrupted = execute(generator, request.headless(), telemetry.feed)
    telemetry.close()
    after = counters()
    (folder / LOG).write_text("".join(f"{line}\n" for line in telemetry.log))
    if telemetry.outcome is None or not telemetry.outcome.total.requests:
        raise Unavailable(
            f"load test: it made no request (Locust's exit status {exit_status}): {last_words(telemetry.log)}",
            hint=f"the whole log is in {folder / LOG}",
        )
    result = LoadResult(
        request=request,
        began=f"{began:%Y-%m-%dT%H:%M:%SZ}",
        outcome=telemetry.outcome,
        history=tuple(telemetry.history),
        instances=traffic_between(before, after),
        exit_status=exit_status,
        interrupted=interrupted,
    )
    for name, kept in ARTEFACTS.items():
        (folder / kept).write_bytes(generator.fetch(name))
    (folder / SUMMARY).write_text(json.dumps(summary(result), indent=2) + "\n")
    return result, folder


def execute(generator: Generator, argv: Sequence[str], on_output: Callable[[bytes], None]) -> tuple[int, bool]:
    """Runs a command; Ctrl-C interrupts it, and it is then waited for.  Returns its exit status and whether it was."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(generator.execute, argv, on_output)
        try:
            return running.result(), False
        except KeyboardInterrupt:
            generator.interrupt()
            return running.result(), True


def last_words(log: Sequence[str]) -> str:
    """The last line of a log that says something."""
    return next((line for line in reversed(log) if line.strip()), "it said nothing")


def _new_folder(loads: Path, name: str) -> Path:
    folder = loads / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise AlreadyExists(
            f"folder {folder}: it is there already", hint="another load test began in this second; try again"
        ) from None
    except FileNotFoundError:
        raise NotFound(f"folder {loads.parent}: it was removed meanwhile") from None
    return folder
