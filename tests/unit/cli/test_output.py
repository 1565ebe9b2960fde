"""What is told of long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from testbed.cli import output
from testbed.control.channel.listener import Request
from testbed.control.commands import building
from testbed.control.state.progress import Progress
from testbed.nodes.making import Making


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    screen = io.StringIO()
    monkeypatch.setattr(output, "errors", Console(file=screen, force_terminal=True, width=100))
    return screen


def test_a_log_gets_a_line_for_each_phase_and_for_what_is_news(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as report:
        for step in (Making("base 1/5", 0, 2), Making("base 2/5", 0, 2), Making("", 1, 2, "base: done (1 of 2)")):
            building(Request({}, 0, report), step)
        report(Progress("nodes", "web", 0, 3))
    assert capsys.readouterr().err.splitlines() == ["images ...", "images  base: done (1 of 2)", "nodes ..."]


def test_a_terminal_gets_a_bar_that_names_what_is_in_work(terminal: io.StringIO) -> None:
    with output.progress() as report:
        building(Request({}, 0, report), Making("nginx 2/5, load 7/8", 3, 15))
    assert "3/15 nginx 2/5, load 7/8" in terminal.getvalue()


def test_no_progress_is_nothing_on_a_terminal(terminal: io.StringIO) -> None:
    with output.progress():
        pass
    assert terminal.getvalue() == ""


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress(quiet=True) as report:
        report(Progress("images", "base", 0, 2, "base: done"))
    assert capsys.readouterr().err == ""
