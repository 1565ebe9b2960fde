"""A test's folder says what it needs: tests/unit nothing, tests/kernel root, tests/e2e root and a Docker Engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tally import is_worker

FOLDER = Path(__file__).parent
MARKERS = {"kernel": ("kernel",), "e2e": ("kernel", "docker")}
FIRST_BUILD = 1800
"""Seconds that an end-to-end test may take: on a new machine the first one builds all images."""
LONGEST_FIRST = ("e2e", "kernel", "clients", "api", "unit")
"""The order in which processes that share the tests take files: one that waits much must not be the last."""
DESELECTED = pytest.StashKey[int]()


def layer(path: Path) -> str:
    """The first folder below tests/ on the way to this file."""
    return path.relative_to(FOLDER).parts[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in MARKERS.get(layer(item.path), ()):
            item.add_marker(marker)
        if layer(item.path) == "e2e" and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_BUILD))
    if is_worker(config):
        items.sort(key=lambda item: LONGEST_FIRST.index(layer(item.path)))
    if os.geteuid() == 0:
        return
    without_root = [item for item in items if item.get_closest_marker("kernel") is None]
    needs_root = [item for item in items if item.get_closest_marker("kernel") is not None]
    if needs_root:
        config.hook.pytest_deselected(items=needs_root)
        config.stash[DESELECTED] = len(needs_root)
        items[:] = without_root


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(DESELECTED, 0):
        terminalreporter.write_line(f"{count} tests need root and were not run: sudo .venv/bin/pytest", yellow=True)
