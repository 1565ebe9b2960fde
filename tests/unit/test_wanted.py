"""What `up` is asked to make: a file, standard input, nothing."""

from __future__ import annotations

import io

import pytest
from typer.testing import CliRunner

from testbed.cli import app, lifecycle, wanted
from testbed.errors import InvalidArgument, NotFound
from testbed.topology_export import export
from tests.unit.topologies import example, small


def test_an_empty_topology() -> None:
    made = wanted.empty(None, None, None, None)
    assert (made.name, made.project, made.region, made.zone) == ("testbed", "demo", "us-central1", "us-central1-a")
    assert wanted.empty("a", "p", "europe-west1", None).zone == "europe-west1-a"
    assert wanted.empty("a", "p", None, "us-central1-f").zone == "us-central1-f"
    with pytest.raises(InvalidArgument, match="is not the name of a testbed"):
        wanted.empty("No", None, None, None)


def test_asking_for_an_empty_one_again_empties_nothing() -> None:
    present = small()
    again = wanted.empty("t", "p", None, None)
    assert wanted.as_it_is(present, again) is present
    assert wanted.as_it_is(None, again) is again
    with pytest.raises(InvalidArgument, match="of project 'p'"):
        wanted.as_it_is(present, wanted.empty("t", "q", None, None))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(export(example())))
    topology, source = wanted.of_file(wanted.STDIN, "other")
    assert source == "standard input"
    assert topology == example().model_copy(update={"name": "other"})
    monkeypatch.setattr("sys.stdin", io.StringIO("name: [1"))
    with pytest.raises(InvalidArgument, match="standard input"):
        wanted.of_file(wanted.STDIN, None)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        wanted.of_file(wanted.STDIN.with_name("none.yaml"), None)


@pytest.mark.parametrize("words", [("up", "--empty", "file.yaml"), ("up", "--project", "p")])
def test_options_that_contradict_each_other(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "require_root", lambda: None)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
