"""Ends a run with the numbers of the oracle's proof: networks, flows, disagreements."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(slots=True)
class Proof:
    """What was compared in this run."""

    networks: int = 0
    flows: int = 0
    """Those whose verdict is not ambiguous."""
    ambiguous: int = 0
    disagreements: int = 0


PROOF = Proof()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if PROOF.networks:
        terminalreporter.write_line(
            f"proof: {PROOF.networks} networks, {PROOF.flows} flows, {PROOF.disagreements} disagreements"
            f" ({PROOF.ambiguous} more flows are ambiguous)",
            red=PROOF.disagreements > 0,
        )
