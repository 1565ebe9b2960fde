from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from testbed import descendants
from testbed.control import controller_process
from testbed.control.controller_process import ensure_controller
from testbed.control.realise.teardown import clear
from testbed.control.state import lock
from testbed.control.state.lock import CONTROLLER, STARTING, WRITER, held, holder, sign, take, writing
from testbed.errors import NotFound, Unavailable
from tests.waiting import PATIENCE

HOLD = """
import sys, time
from pathlib import Path
from testbed.control.lock import writing
with writing(Path(sys.argv[1]), create=True):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bed"


@pytest.fixture
def other(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the writer's lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture(autouse=True)
def unmarked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `writing` leaves in the environment is not the next test's."""
    monkeypatch.setenv(descendants.WORK, "")


def test_a_lock_is_held_by_one_process_that_it_names(folder: Path, other: subprocess.Popen[str]) -> None:
    assert holder(folder, WRITER) == other.pid
    with pytest.raises(Unavailable, match=rf"\(pid {other.pid}\) is working on testbed 'bed'"), writing(folder):
        pass


def test_a_lock_ends_with_its_holder_and_says_that_it_was_cut_short(folder: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    with held(folder, WRITER, patience=PATIENCE) as cut_short:
        assert cut_short
        assert holder(folder, WRITER) == os.getpid()
    with held(folder, WRITER) as cut_short:
        assert not cut_short
    assert holder(folder, WRITER) is None


def test_what_a_killed_holder_has_started_is_ended(folder: Path, other: subprocess.Popen[str]) -> None:
    environment = {**os.environ, descendants.WORK: str(folder)}
    with subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True) as orphan:
        other.kill()
        with writing(folder, patience=PATIENCE):
            assert orphan.wait(PATIENCE) == -9


def test_waiting_is_told_once_and_not_at_once(
    folder: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = itertools.count(step=0.5)  # a look every half second
    monkeypatch.setattr(lock, "time", SimpleNamespace(monotonic=lambda: next(moments), sleep=lambda _: None))
    said: list[str] = []
    with pytest.raises(Unavailable), writing(folder, patience=1.0, waiting=said.append):
        pass
    assert said == []
    with pytest.raises(Unavailable), writing(folder, patience=4.0, waiting=said.append):
        pass
    assert said == [f"waiting for another command (pid {other.pid}) that works on this testbed"]


def test_a_lock_of_a_testbed_that_is_not_there(folder: Path) -> None:
    with pytest.raises(NotFound, match="'bed'"), writing(folder):
        pass
    assert not folder.exists()
    assert holder(folder, WRITER) is None


def test_who_waited_for_a_down_has_a_lock_that_counts(folder: Path) -> None:
    """`down` removes the file that others wait for: the lock of a file without a name would keep nobody out."""
    got = threading.Event()

    def wait() -> None:
        with held(folder, WRITER, create=True, patience=PATIENCE):
            got.set()
            assert holder(folder, WRITER) == os.getpid()

    with held(folder, WRITER, create=True):
        waiting = threading.Thread(target=wait)
        waiting.start()
        clear(folder)
    waiting.join(PATIENCE)
    assert got.is_set()
    assert (folder / WRITER).exists()


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
    with held(folder, WRITER, create=True):
        assert holder(folder, WRITER) == os.getpid()
    assert found == [folder]


def test_a_controller_in_the_foreground_may_end_while_another_command_looks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there is one to be started after all."""
    folder.mkdir(parents=True)
    said = iter([STARTING, None, STARTING, 4711])
    begun: list[str] = []
    monkeypatch.setattr(controller_process, "holder", lambda *_: next(said))
    monkeypatch.setattr(controller_process, "_start", lambda name, *_: begun.append(name))
    assert (ensure_controller("bed", folder), begun) == (4711, ["bed"])


def test_a_lock_is_inherited(folder: Path) -> None:
    """The controller holds its lock from its first moment, before it can say so."""
    descriptor = take(folder, CONTROLLER, create=True)
    with subprocess.Popen(["sleep", "60"], pass_fds=[descriptor]) as child:
        os.close(descriptor)
        assert holder(folder, CONTROLLER) == STARTING
        child.kill()
        child.wait()
        assert holder(folder, CONTROLLER) is None


def test_a_controller_that_is_there_is_not_started_again(folder: Path) -> None:
    descriptor = take(folder, CONTROLLER, create=True)
    sign(descriptor)
    try:
        assert ensure_controller("bed", folder) == os.getpid()
        assert [path.name for path in folder.iterdir()] == [CONTROLLER]
    finally:
        os.close(descriptor)
