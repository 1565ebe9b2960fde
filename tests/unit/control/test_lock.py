from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from testbed import descendants
from testbed.control import controller_process
from testbed.control.channel.listener import Service, listening
from testbed.control.channel.protocol import SOCKET
from testbed.control.controller_process import ensure_controller, without_controller
from testbed.control.state.folders import LOCK, clear
from testbed.control.state.lock import STARTING, held, holder, sign, take
from testbed.errors import NotFound, Unavailable
from tests.waiting import PATIENCE, eventually

HOLD = """
import sys, time
from pathlib import Path
from testbed.control.state.lock import held
with held(Path(sys.argv[1]), create=True):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bed"


@pytest.fixture
def other(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@contextmanager
def held_by_a_down(folder: Path) -> Iterator[None]:
    descriptor = take(folder, create=True)
    sign(descriptor, "down")
    try:
        yield
    finally:
        os.close(descriptor)


def test_a_lock_is_held_by_one_process_that_it_names(folder: Path, other: subprocess.Popen[str]) -> None:
    assert holder(folder) == other.pid
    with pytest.raises(Unavailable, match=rf"testbed 'bed': .*\(pid {other.pid}\) is working on it"), held(folder):
        pass


def test_a_lock_ends_with_its_holder(folder: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    with held(folder, patience=PATIENCE):
        assert holder(folder) == os.getpid()
    assert holder(folder) is None


def test_a_new_holder_is_not_taken_for_the_last_one(folder: Path, other: subprocess.Popen[str]) -> None:
    """A signal to the last holder's number could meet any process that has it now."""
    other.kill()
    descriptor = take(folder, patience=PATIENCE)
    try:
        assert holder(folder) == STARTING
        sign(descriptor, "down")
        assert holder(folder) == STARTING
        sign(descriptor)
        assert holder(folder) == os.getpid()
    finally:
        os.close(descriptor)


def test_what_a_killed_controller_has_started_is_ended(folder: Path, other: subprocess.Popen[str]) -> None:
    environment = {**os.environ, descendants.WORK: str(folder)}
    with subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True) as orphan:
        environ = Path(f"/proc/{orphan.pid}/environ")
        eventually(lambda: str(folder) in environ.read_text(), "execve(2) has come to its end")
        other.kill()
        with without_controller(folder, patience=PATIENCE, waiting=lambda _: None):
            assert orphan.wait(PATIENCE) == -9


def test_waiting_for_a_down_is_told_once_and_not_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.count(step=0.5)  # a look every half second
    clock = SimpleNamespace(monotonic=lambda: next(moments), sleep=lambda _: None)
    monkeypatch.setattr(controller_process, "time", clock)
    said: list[str] = []
    with held_by_a_down(folder):
        for patience in (0.5, 4.0):
            with pytest.raises(Unavailable), without_controller(folder, patience=patience, waiting=said.append):
                pass
    assert said == ["waiting for another command that works on testbed 'bed'"]


def test_a_lock_of_a_testbed_that_is_not_there(folder: Path) -> None:
    with pytest.raises(NotFound, match="'bed'"), held(folder):
        pass
    assert not folder.exists()
    assert holder(folder) is None


def test_who_waited_for_a_down_has_a_lock_that_counts(folder: Path) -> None:
    """`down` removes the file that others wait for: the lock of a file without a name would keep nobody out."""
    got = threading.Event()

    def wait() -> None:
        with held(folder, create=True, patience=PATIENCE):
            got.set()
            assert holder(folder) == os.getpid()

    with held(folder, create=True):
        waiting = threading.Thread(target=wait)
        waiting.start()
        clear(folder)
    waiting.join(PATIENCE)
    assert got.is_set()
    assert (folder / LOCK).exists()


def test_the_folder_may_go_while_it_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `down` removes what another command's `mkdir` has just found there."""
    folder.mkdir(parents=True)
    found: list[Path] = []

    def mkdir(path: Path, *arguments: Any) -> None:
        try:
            make(path, *arguments)
        except FileExistsError:
            found.append(path)
            path.rmdir()
            raise

    make = os.mkdir
    monkeypatch.setattr(os, "mkdir", mkdir)
    with held(folder, create=True):
        assert holder(folder) == os.getpid()
    assert found == [folder]


def test_a_lock_is_inherited(folder: Path) -> None:
    """The controller holds its lock from its first moment, before it can say so."""
    descriptor = take(folder, create=True)
    with subprocess.Popen(["sleep", "60"], pass_fds=[descriptor]) as child:
        os.close(descriptor)
        assert holder(folder) == STARTING
        child.kill()
        child.wait()
        assert holder(folder) is None


def test_a_controller_that_can_be_asked_is_not_started_again(folder: Path) -> None:
    folder.mkdir(parents=True)
    with held(folder), listening(folder, Service({}, 0)):
        ensure_controller("bed", folder, patience=0, waiting=lambda _: None)
        assert {path.name for path in folder.iterdir()} == {LOCK, SOCKET}


def test_a_controller_that_does_not_start_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_process, "_PROGRAM", ("sh", "-c", "echo it cannot be >&2; exit 1"))
    with pytest.raises(Unavailable, match="did not start: it cannot be"):
        ensure_controller("bed", folder, patience=PATIENCE, waiting=lambda _: None)
