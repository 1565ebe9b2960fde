"""The state of a testbed that another version has made: nothing reads it, and `down` removes it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from testbed.cli import app
from testbed.cli import down as down_command
from testbed.control.realise import teardown
from testbed.control.realise.teardown import recorded
from testbed.control.state import layout
from testbed.control.state.folders import FILE, names
from testbed.control.state.store import Store
from testbed.errors import FailedPrecondition
from testbed.paths import EXAMPLES
from tests.unit.topologies import small

EXAMPLE = str(EXAMPLES / "serverless-vpc-access.yaml")


@pytest.fixture(autouse=True)
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A testbed as all were before layouts were counted, with its topology."""
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    monkeypatch.setenv("TESTBED_WORK", "")
    monkeypatch.delenv("TESTBED_NAME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with Store.open("bed", create=True) as store:
        store.replace_topology(small())
        store.journal.record("namespace", "tb-bed-never-made")
        number = store.id
    changed = sqlite3.connect(tmp_path / "bed" / FILE)
    changed.executescript("DROP TABLE allocations; CREATE TABLE addresses (key TEXT PRIMARY KEY, value TEXT)")
    changed.execute("PRAGMA user_version = 0")
    changed.close()
    assert recorded("bed").ids == {number}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(
    "words",
    [
        ("up", EXAMPLE),
        ("serve",),
        ("status",),
        ("env",),
        ("export",),
        ("exec", "a", "true"),
        ("logs", "a"),
        ("configure",),
        ("invoke", "web"),
        ("load",),
        ("key", "list"),
        ("fault", "list"),
    ],
    ids=lambda words: words[0],
)
def test_commands_refuse_it(words: tuple[str, ...]) -> None:
    result = run(*words, "--name", "bed")
    assert isinstance(result.exception, FailedPrecondition), result.output
    assert result.exception.message == (
        "testbed 'bed': another version of testbed wrote its state, which this version cannot read"
    )
    assert result.exception.hint == "remove it: testbed down --name bed"
    assert names() == ["bed"]


@pytest.mark.parametrize("number", [0, layout.LAYOUT + 1])
def test_one_that_is_newer_is_refused_as_well(tmp_path: Path, number: int) -> None:
    changed = sqlite3.connect(tmp_path / "bed" / FILE)
    changed.execute(f"PRAGMA user_version = {number}")
    changed.close()
    with pytest.raises(FailedPrecondition), Store.open("bed"):
        pass
    with pytest.raises(FailedPrecondition), Store.open("bed", create=True):
        pass
    with pytest.raises(FailedPrecondition):
        layout.require_of("bed")


def test_down_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[list[str]] = []
    nodes = SimpleNamespace(running=lambda **_: {"a": None}, stop_all=stopped.append)
    monkeypatch.setattr(down_command, "connect", lambda: None)
    monkeypatch.setattr(teardown, "DockerNodes", lambda *_: nodes)
    result = run("down", "--name", "bed", "--json")
    assert result.exit_code == 0, result.output
    assert stopped == [["a"], ["a"]]
    assert names() == []


def test_the_present_one_is_read() -> None:
    with Store.open("new", create=True):
        pass
    layout.require_of("new")
    layout.require_of("none")
    with Store.open("new") as store:
        assert store.running.allocations.names == {}
