"""No unit test of the controller touches the state of the testbeds of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the testbeds' states."""
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    monkeypatch.setenv("TESTBED_WORK", "")
    return tmp_path
