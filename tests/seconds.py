"""Ends a run with the seconds of each folder of tests, and what the processor had to do for them."""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.layers import FOLDER, layer


def spent(terminalreporter: pytest.TerminalReporter) -> Mapping[str, float]:
    """Seconds of the tests of each folder, set-up and teardown included."""
    found = defaultdict[str, float](float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                found[layer(FOLDER.parent / Path(report.nodeid.partition("::")[0]))] += report.duration
    return found


def processor() -> float:
    """Seconds of the processor for this process and those that it started and waited for: not Docker's."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    most = sorted(spent(terminalreporter).items(), key=lambda folder: -folder[1])
    folders = ", ".join(f"{name} {seconds:.0f}" for name, seconds in most)
    terminalreporter.write_line(f"seconds: {folders}; of the processor: {processor():.0f}")
