"""Ends a run with the numbers of the oracle's proof: networks, flows, disagreements."""

from __future__ import annotations

import pytest

from tests.tally import TALLY

NETWORKS = "proof: networks"
FLOWS = "proof: flows"
"""Those whose verdict is not ambiguous."""
AMBIGUOUS = "proof: ambiguous flows"
DISAGREEMENTS = "proof: disagreements"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY[NETWORKS]:
        terminalreporter.write_line(
            f"proof: {TALLY[NETWORKS]} networks, {TALLY[FLOWS]} flows, {TALLY[DISAGREEMENTS]} disagreements"
            f" ({TALLY[AMBIGUOUS]} more flows are ambiguous)",
            red=TALLY[DISAGREEMENTS] > 0,
        )
