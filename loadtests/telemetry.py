"""Tells `testbed load` how a run goes: one JSON line a second, and one with the result when all is over.

It is a Locust file of its own beside the scenario (`locust -f SCENARIO.py,telemetry.py`): no scenario need know of it.
It also writes `requests.csv`, `failures.csv` and `exceptions.csv` when the test has ended: Locust itself writes such
files once a second, and they miss what happens after the last time.
"""

from __future__ import annotations

import csv
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]
import services  # noqa: F401  its arguments are there for every scenario, also for one that does not use them
from locust import events
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.runners import Runner
from locust.stats import (
    PERCENTILES_TO_REPORT,
    StatsCSV,
    StatsEntry,
    StatsError,
    calculate_response_time_percentile,
    diff_response_time_dicts,
)
from locust.web import WebUI

INTERVAL = 1.0
"""Seconds between two progress lines."""


class Telemetry:
    """Watches one Locust environment."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.began = time.monotonic()
        self.sources: Counter[tuple[str, str]] = Counter()

    def count_source(self, name: str, context: dict[str, Any], **_: Any) -> None:
        """Counts a request under the source address that its scenario learned from the far end."""
        if "source" in context:
            self.sources[name, context["source"]] += 1

    def report_progress(self) -> None:
        """Prints a line for each interval, with that interval's own rates, percentiles and CPU use."""
        process, runner = psutil.Process(), self.environment.runner
        process.cpu_percent(), psutil.cpu_percent()  # the first call of each only sets its beginning
        before = (self.began, 0, 0, dict[int, int]())
        while True:
            gevent.sleep(INTERVAL)
            total = self.environment.stats.total  # a new object when a test starts
            now = (time.monotonic(), total.num_requests, total.num_failures, dict(total.response_times))
            elapsed, requests, failures = now[0] - before[0], now[1] - before[1], now[2] - before[2]
            times = diff_response_time_dicts(now[3], before[3])
            emit(
                "progress",
                seconds=now[0] - self.began,
                users=runner.user_count if runner else 0,
                requests=total.num_requests,
                failures=total.num_failures,
                rps=requests / elapsed,
                failures_per_second=failures / elapsed,
                p50=calculate_response_time_percentile(times, requests, 0.5),
                p95=calculate_response_time_percentile(times, requests, 0.95),
                cpu=process.cpu_percent(),
                machine=psutil.cpu_percent(),
            )
            before = now

    def report_result(self, **_: Any) -> None:
        """Prints what there is to say at the end.  By `quit` it is too late: the JSON file empties the figures."""
        stats, runner = self.environment.stats, self.environment.runner
        exceptions = runner.exceptions.values() if runner else []
        emit(
            "result",
            seconds=time.monotonic() - self.began,
            rows=[row(entry) for entry in sorted(stats.entries.values(), key=lambda entry: entry.name)],
            total=row(stats.total),
            failures=[
                {"name": error.name, "message": message(error.error), "count": error.occurrences}
                for error in stats.errors.values()
            ]
            + [{"name": "(scenario)", "message": one["msg"], "count": one["count"]} for one in exceptions],
            sources=[
                {"name": name, "address": address, "requests": count}
                for (name, address), count in sorted(self.sources.items())
            ],
        )


def write_csv(environment: Environment, **_: Any) -> None:
    """Writes the final figures, in Locust's own form, into the working directory."""
    stats = StatsCSV(environment, PERCENTILES_TO_REPORT)
    for name, write in (
        ("requests", stats.requests_csv),
        ("failures", stats.failures_csv),
        ("exceptions", stats.exceptions_csv),
    ):
        with Path(f"{name}.csv").open("w", newline="") as file:
            write(csv.writer(file))


def row(entry: StatsEntry) -> dict[str, str | int | float]:
    """One request name's figures; times in milliseconds."""
    return {
        "name": entry.name,
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "median": entry.median_response_time,
        "p90": entry.get_response_time_percentile(0.9),
        "p95": entry.get_response_time_percentile(0.95),
        "p99": entry.get_response_time_percentile(0.99),
        "max": entry.max_response_time,
        "rps": entry.total_rps,
    }


def message(error: Exception | str | None) -> str:
    """What a request failed with: the scenario's own words, or the exception."""
    return str(error) if isinstance(error, CatchResponseError) else StatsError.parse_error(error)


def emit(kind: str, **values: Any) -> None:
    """Prints one line."""
    sys.stdout.write(json.dumps({"telemetry": kind, **values}) + "\n")
    sys.stdout.flush()


@events.init.add_listener  # type: ignore[untyped-decorator]
def watch(environment: Environment, runner: Runner, web_ui: WebUI | None, **_: Any) -> None:
    """Begins when Locust begins."""
    telemetry = Telemetry(environment)
    environment.events.request.add_listener(telemetry.count_source)  # type: ignore[no-untyped-call]
    environment.events.test_stop.add_listener(telemetry.report_result)  # type: ignore[no-untyped-call]
    environment.events.test_stop.add_listener(write_csv)  # type: ignore[no-untyped-call]
    gevent.spawn(telemetry.report_progress)

    def end() -> None:
        runner.quit()
        if web_ui:
            web_ui.stop()  # type: ignore[no-untyped-call]

    # As at the end of the run time.  Python's own KeyboardInterrupt is lost if it comes where nobody lets it through.
    gevent.signal_handler(signal.SIGINT, end)
