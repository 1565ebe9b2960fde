"""What is exhaustive is sampled: another part of it each time, and all of it by `make prove`.

    make prove          # every test marked `sampled`, whole
    make prove N=5      # five times as much
    TESTBED_SEED=17 make test   # the sample of a run that said so

A run names its seed at its beginning and, if something failed, at its end.
"""

from __future__ import annotations

import os
import secrets

import pytest

SEED = int(os.environ.setdefault("TESTBED_SEED", str(secrets.randbelow(10**6))))
"""What chooses the sample, Hypothesis's examples among them.  The processes that a run starts inherit it."""
TIMES = int(os.environ.get("TESTBED_PROVE", "0"))
"""How many times the whole is asked for; 0: a sample of it."""


def size(sample: int, whole: int) -> int:
    """How many cases to try."""
    return whole * TIMES or sample


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads it
def pytest_configure(config: pytest.Config) -> None:
    config.option.hypothesis_seed = config.option.hypothesis_seed or str(SEED)


def pytest_report_header() -> str:
    return f"sample: TESTBED_SEED={SEED}" if not TIMES else f"whole, {TIMES} times: TESTBED_SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"the sample of this run: TESTBED_SEED={SEED}", yellow=True)
