from __future__ import annotations

import os
import subprocess

import pytest

from testbed import descendants
from tests.waiting import PATIENCE


def test_what_is_started_carries_the_mark_and_what_outlives_us_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(descendants.WORK, "")
    descendants.mark("/a/testbed")
    inherited = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert f"{descendants.WORK}=/a/testbed\n" in inherited
    without = subprocess.run(["env"], capture_output=True, text=True, check=True, env=descendants.unmarked()).stdout
    assert descendants.WORK not in without
    assert "PATH=" in without


def test_marked_processes_are_ended_wherever_they_are_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"of-test-{os.getpid()}"
    monkeypatch.setenv("MARK", mark)  # this process was started without it, and has it now
    other = {**os.environ, "MARK": f"{mark}0"}
    with (
        subprocess.Popen(["sleep", "60"], start_new_session=True) as ours,
        subprocess.Popen(["sleep", "60"], env=other) as theirs,
    ):
        assert descendants.end("MARK", mark) == [ours.pid]
        assert ours.wait(PATIENCE) == -9
        assert theirs.poll() is None
        theirs.kill()
    assert descendants.end("MARK", mark) == []
