"""Starts a testbed's controller as a process of its own, and ends it.

The controller inherits its lock, so that it holds it from its first moment: a `down` finds it,
even if the command that started it was killed in between.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed import descendants
from testbed.control.channel.client import AnotherProtocol, session
from testbed.control.state.folders import clear
from testbed.control.state.lock import STARTING, holder, holders_of_lost, sign, take
from testbed.control.state.summary import begun
from testbed.errors import DeadlineExceeded, Unavailable

Waiting = Callable[[str], None]
"""Is told once that somebody else is waited for."""
LOG = "controller.log"
_PROGRAM = (sys.executable, "-m", "testbed")
_STARTS = 60.0
"""Seconds that a controller may take until it can be asked."""
_POLITE = 5.0
"""Seconds that it has to end by itself."""
_POLL = 0.02
_SHORT = 1.0
"""Seconds of waiting that nobody needs to be told about."""


def ensure_controller(name: str, folder: Path, *, owner: int = 0, patience: float, waiting: Waiting) -> None:
    """See that a controller can be asked; one of another version of testbed is replaced.

    `patience` is how long to wait, in seconds, for a `down` that is at work; `waiting` is told once of that.

    Raises:
        Unavailable: if it does not start; the message has the end of its log.
    """
    began, process, told = time.monotonic(), None, False
    while True:
        if _can_be_asked(folder):
            return
        found = holder(folder)
        if process is not None and process.poll() is not None:
            raise _not_started(name, folder)
        waited = time.monotonic() - began
        if found is None and process is None:
            process = _started(name, folder, owner)
        elif waited > (patience if process is None else _STARTS):
            raise Unavailable(
                f"testbed {name!r}: another command is working on it (lock: {folder / 'lock'})",
                hint="wait for it, or end it",
            )
        elif process is None and not told and waited > _SHORT:
            waiting(f"waiting for another command that works on testbed {name!r}")
            told = True
        time.sleep(_POLL)


def discard_unless_begun(name: str, folder: Path) -> None:
    """Wait until nothing is left of a testbed whose first topology was refused; its controller removes it, and ends."""
    if not begun(name) and (pid := holder(folder)):
        _wait_for([pid], time.monotonic() + _POLITE)


def _not_started(name: str, folder: Path) -> Unavailable:
    """What a controller has said before its end; if there was no testbed before, nothing is left of it."""
    said = (folder / LOG).read_text()[-500:].strip()
    if not begun(name):
        with without_controller(folder, patience=0, waiting=lambda _: None):
            clear(folder)
    return Unavailable(f"controller: it did not start: {said}")


def _can_be_asked(folder: Path) -> bool:
    try:
        with session(folder) as found:
            return found is not None
    except AnotherProtocol:
        stop_controller(folder)
    except FileNotFoundError:
        pass
    return False


def _started(name: str, folder: Path, owner: int) -> subprocess.Popen[bytes] | None:
    """A new controller, which has the lock; None if somebody else was quicker."""
    try:
        lock = take(folder, create=True)
    except Unavailable:
        return None
    try:
        with os.fdopen(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            return subprocess.Popen(
                [*_PROGRAM, "serve", "--name", name, "--lock", str(lock), "--owner", str(owner)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=descendants.unmarked(),
                start_new_session=True,
                pass_fds=(lock,),
            )
    finally:
        os.close(lock)


@contextmanager
def without_controller(folder: Path, *, patience: float, waiting: Waiting, create: bool = False) -> Iterator[None]:
    """End the testbed's controller, and hold its lock, so that none can start meanwhile.

    With `create`, the folder may have been removed by hand: a controller of it is ended as well, and it is made again.

    Raises:
        NotFound: there is no such testbed.
        Unavailable: another `down` works on it for longer than `patience`, in seconds.
        DeadlineExceeded: the controller does not end.
    """
    if create:
        _end_lost(folder)
    lock = _taken(folder, patience, waiting, create=create)
    try:
        with suppress(OSError):  # a disk that cannot be written
            sign(lock, "down")
        descendants.end(descendants.WORK, str(folder))  # what a controller that was killed has left running
        yield
    finally:
        os.close(lock)


def _taken(folder: Path, patience: float, waiting: Waiting, *, create: bool) -> int:
    """The lock, as soon as neither a controller nor another `down` has it."""
    began, told = time.monotonic(), False
    while True:
        stop_controller(folder)
        try:
            return take(folder, create=create)
        except Unavailable:
            waited = time.monotonic() - began
            if waited > patience:
                raise
        if not told and waited > _SHORT:
            waiting(f"waiting for another command that works on testbed {folder.name!r}")
            told = True
        time.sleep(_POLL)


def _end_lost(folder: Path) -> None:
    """End controllers that hold a lock which is not in the folder any more."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        found = holders_of_lost(folder)
        for pid in found:
            _signal(pid, number)
        _wait_for(found, time.monotonic() + _POLITE)


def stop_controller(folder: Path) -> None:
    """End the testbed's controller, which holds its lock as long as it runs.

    Raises:
        DeadlineExceeded: if it does not end.
    """
    pid = None
    for number in (signal.SIGTERM, signal.SIGKILL):
        told: set[int] = set()
        deadline = time.monotonic() + _POLITE
        while time.monotonic() < deadline:
            pid = holder(folder)
            if pid is None or pid == STARTING:
                _wait_for(told, deadline)
                return
            if pid not in told:
                told.add(pid)
                _signal(pid, number)
            time.sleep(_POLL)
    raise DeadlineExceeded(f"controller of testbed {folder.name!r} (pid {pid}): it does not end")


def _wait_for(processes: Iterable[int], deadline: float) -> None:
    """Until processes that were told to end have done so; the lock of one that removes its own folder is gone first."""
    for pid in processes:
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(_POLL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended since
