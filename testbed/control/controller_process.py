"""Starts a testbed's controller as a process of its own.

The controller inherits its lock, so that it holds it from its first moment: whoever takes the testbed down finds it,
even if the command that started it was killed in between.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from testbed import descendants
from testbed.control.state.lock import CONTENTION, CONTROLLER, STARTING, holder, take
from testbed.errors import Unavailable

LOG = "controller.log"
_DEADLINE = 60.0
_POLL = 0.02


def ensure_controller(name: str, folder: Path) -> int:
    """Start a controller unless one runs; returns its process id.  The caller has the testbed's lock.

    Raises:
        Unavailable: if it does not start; the message has the end of its log.
    """
    started = False
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        pid = holder(folder, CONTROLLER)
        if pid is None:
            if started:
                break
            lock = take(folder, CONTROLLER, patience=CONTENTION)
            try:
                os.ftruncate(lock, 0)
                _start(name, folder, lock)
            finally:
                os.close(lock)
            started = True
        elif pid != STARTING:
            return pid
        time.sleep(_POLL)
    said = (folder / LOG).read_text()[-500:] if started else "another one holds its lock and does not say its number"
    raise Unavailable(f"the controller did not start: {said}")


def _start(name: str, folder: Path, lock: int) -> None:
    with os.fdopen(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "testbed", "serve", "--name", name, "--lock", str(lock)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=descendants.unmarked(),
            start_new_session=True,
            pass_fds=(lock,),
        )
