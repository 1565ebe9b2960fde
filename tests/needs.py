"""`@pytest.mark.needs("netem")`: a test of what this host cannot do is skipped, and the run says how many were."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import pytest

from testbed.capability import Capability
from testbed.kernel.capabilities import probe
from tests.tally import TALLY

_SKIPPED = "skipped for want of "


@functools.cache
def host() -> Mapping[str, Capability]:
    """What this host can do, by name."""
    return {capability.name: capability for capability in probe()}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if name not in host():
                pytest.fail(f"needs({name!r}): no such capability; there are {', '.join(host())}", pytrace=False)
            if not host()[name].present:
                TALLY[f"{_SKIPPED}{name}"] += 1
                pytest.skip(f"this host lacks {name}: {host()[name].detail}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, count in sorted(TALLY.items()):
        if what.startswith(_SKIPPED):
            terminalreporter.write_line(f"{what}: {count}", yellow=True)
