"""What `up` is asked to make: a file, standard input, nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbed.cli import app, topology_argument
from testbed.cli import up as command
from testbed.control.accept import requested_topology
from testbed.errors import InvalidArgument, NotFound
from testbed.topology_export import export, secrets
from tests.unit.topologies import example, small


def test_an_empty_topology() -> None:
    made = requested_topology.empty(None, None, None, None)
    assert (made.name, made.project, made.region, made.zone) == ("testbed", "demo", "us-central1", "us-central1-a")
    assert requested_topology.empty("a", "p", "europe-west1", None).zone == "europe-west1-a"
    assert requested_topology.empty("a", "p", None, "us-central1-f").zone == "us-central1-f"
    with pytest.raises(InvalidArgument, match="is not the name of a testbed"):
        requested_topology.empty("No", None, None, None)


def test_asking_for_an_empty_one_again_empties_nothing() -> None:
    present = small()
    again = requested_topology.empty("t", "p", None, None)
    assert requested_topology.as_it_is(present, again) is present
    assert requested_topology.as_it_is(None, again) is again
    with pytest.raises(InvalidArgument, match="of project 'p'"):
        requested_topology.as_it_is(present, requested_topology.empty("t", "q", None, None))


def test_the_topology_of_a_text(tmp_path: Path) -> None:
    text, known = export(example()), secrets(example())
    topology = requested_topology.of_text(text, "standard input", tmp_path, "other", known)
    assert topology == example().model_copy(update={"name": "other"})
    with pytest.raises(InvalidArgument, match="secret 'tunnel-to-office' is not known here"):
        requested_topology.of_text(text, "standard input", tmp_path, "other", {})
    with pytest.raises(InvalidArgument, match="standard input"):
        requested_topology.of_text("name: [1", "standard input", tmp_path, None, {})


@pytest.mark.parametrize("text", ["- a\n", "a: 5\n", "5: a\n", "a: [\n", "", "a: {b: c}\n"])
def test_a_file_of_secrets_that_is_none_is_refused_without_its_content(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match="must be a mapping of names to texts"):
        topology_argument.secrets(file)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        topology_argument.secrets(tmp_path / "none")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("name: bed"))
    given = topology_argument.read(topology_argument.STDIN)
    assert (given.name, given.file, given.folder) == ("bed", "standard input", Path.cwd())


@pytest.mark.parametrize("text", ["name: [1", "", "name: 7", "- name"])
def test_a_text_that_says_no_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    assert topology_argument.read(file).name is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        topology_argument.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("words", [("up", "--empty", "file.yaml"), ("up", "--project", "p")])
def test_options_that_contradict_each_other(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "require_root", lambda: None)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
