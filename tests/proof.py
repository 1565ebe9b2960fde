"""Ends a run with the numbers of its proofs: flows that the oracle judged, and connections that had to live."""

from __future__ import annotations

import pytest

from tests.tally import TALLY

NETWORKS = "proof: networks"
FLOWS = "proof: flows"
"""Those whose verdict is not ambiguous."""
AMBIGUOUS = "proof: ambiguous flows"
DISAGREEMENTS = "proof: disagreements"
CONNECTIONS = "proof: connections"
"""How often a connection that lived for a while was asked whether it is as it was."""
RESETS = "proof: resets"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY[NETWORKS]:
        terminalreporter.write_line(
            f"proof: {TALLY[NETWORKS]} networks, {TALLY[FLOWS]} flows, {TALLY[DISAGREEMENTS]} disagreements"
            f" ({TALLY[AMBIGUOUS]} more flows are ambiguous)",
            red=TALLY[DISAGREEMENTS] > 0,
        )
    if TALLY[CONNECTIONS]:
        terminalreporter.write_line(
            f"proof: {TALLY[CONNECTIONS]} looks at connections that live, {TALLY[RESETS]} resets",
            red=TALLY[RESETS] > 0,
        )
