from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from testbed.nodes.scratch import temporary_files_in

CHILD = "import tempfile; print(tempfile.mkdtemp())"


def test_temporary_files_are_there_and_then_gone(tmp_path: Path) -> None:
    folder, before = tmp_path / "build", tempfile.gettempdir()
    left = folder / "by" / "a-killed-one"
    left.parent.mkdir(parents=True)
    left.touch()
    with temporary_files_in(folder):
        assert not left.exists()
        child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
        assert Path(child.stdout.strip()).parent == folder
        assert Path(tempfile.mkdtemp()).parent == folder
    assert not folder.exists()
    assert tempfile.gettempdir() == before


def test_an_error_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ZeroDivisionError), temporary_files_in(tmp_path / "build"):
        _ = 1 // 0
    assert list(tmp_path.iterdir()) == []
