"""What tests count: each process of a run counts for itself, and the one that started the others adds it up."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import pytest

TALLY = Counter[str]()
"""The counts of this process; at the end, of the whole run."""
_OUTPUT = "tally"


class _Worker(Protocol):
    """What pytest-xdist says of a worker that has ended."""

    workeroutput: dict[str, dict[str, int]]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one, which reports what came of them."""
    return hasattr(config, "workerinput")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if is_worker(session.config):
        output: dict[str, dict[str, int]] = vars(session.config)["workeroutput"]
        output[_OUTPUT] = dict(TALLY)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: _Worker) -> None:
    output = getattr(node, "workeroutput", {})  # a worker that crashed has left none
    TALLY.update(output.get(_OUTPUT, {}))
