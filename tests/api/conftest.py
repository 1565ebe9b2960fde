"""A control plane for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import harness


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[harness.Api]:
    with harness.api(tmp_path, monkeypatch) as made:
        yield made
