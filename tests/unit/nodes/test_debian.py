from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import docker
import pytest

from testbed.errors import ResourceExhausted, Unavailable, Unimplemented
from testbed.nodes import debian, wheels
from testbed.nodes.stop import Stop


class Engine:
    def __init__(self) -> None:
        self.tagged: list[tuple[str, str, str]] = []
        self.imported: list[str] = []
        self.api = SimpleNamespace(
            tag=lambda *what: self.tagged.append(what),
            import_image_from_file=lambda _, *, repository, tag: self.imported.append(f"{repository}:{tag}"),
        )

    def make(self) -> list[str]:
        said: list[str] = []
        debian.make(cast(docker.DockerClient, self), said.append, Stop())
        return said


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run; they succeed."""
    seen: list[list[str]] = []

    def run(_: Stop, command: list[str]) -> SimpleNamespace:
        seen.append(command)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(Stop, "run", run)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return seen


def test_the_official_image_is_taken_where_there_is_a_registry(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(debian, "pull", lambda *_: None)
    engine = Engine()
    engine.make()
    assert engine.tagged == [("debian:bookworm-slim", "testbed/debian", "bookworm")]
    assert not commands


def test_without_a_registry_it_is_made_from_packages(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(debian, "pull", lambda *_: "no such host")
    engine = Engine()
    assert "from packages" in engine.make()
    assert engine.imported == [debian.NAME]
    assert commands[0][:5] == ["unshare", "--mount", "--", "mmdebstrap", "--variant=minbase"]


def test_without_either_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "pull", lambda *_: "no such host")
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(Unimplemented, match="no such host") as caught:
        Engine().make()
    assert "testbed doctor --prepare" in (caught.value.hint or "")


def test_a_failed_bootstrap_says_why(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    monkeypatch.setattr(debian, "pull", lambda *_: "no such host")
    failed = SimpleNamespace(returncode=25, stdout="", stderr="E: no mirror\n")
    monkeypatch.setattr(Stop, "run", lambda *_: failed)
    with pytest.raises(Unavailable, match="E: no mirror"):
        Engine().make()
    assert not commands


def test_a_full_disk_is_not_the_networks_fault(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    monkeypatch.setattr(debian, "pull", lambda *_: "no such host")
    failed = SimpleNamespace(returncode=25, stdout="", stderr="E: Write error - write (28: No space left on device)\n")
    monkeypatch.setattr(Stop, "run", lambda *_: failed)
    with pytest.raises(ResourceExhausted, match="No space") as caught:
        Engine().make()
    assert "network" not in (caught.value.hint or "")
    assert not commands


def test_wheels_are_for_the_images_python_and_c_library(tmp_path: Path, commands: list[list[str]]) -> None:
    wheels.download(tmp_path / "requirements.txt", tmp_path / "wheels", Stop())
    (command,) = commands
    assert command[command.index("--python-version") + 1] == "3.11"
    assert not [tag for tag in command if tag.startswith("manylinux_2_37")]
    assert [tag for tag in command if tag.startswith("manylinux_2_36")]


def test_wheels_that_cannot_be_had_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(returncode=1, stdout="", stderr="ERROR: no index\n")
    monkeypatch.setattr(Stop, "run", lambda *_: failed)
    with pytest.raises(Unavailable, match="ERROR: no index"):
        wheels.download(tmp_path / "requirements.txt", tmp_path / "wheels", Stop())
