"""The processes that a command starts, known by a variable in their environment: they can outlive the command.

Process groups and sessions do not hold them together: Ansible gives each of its workers a session of its own.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

WORK = "TESTBED_WORK"
"""What a command works on; whatever it starts inherits the variable."""


def mark(work: str) -> None:
    """Let what this process starts from now on carry what it works on."""
    os.environ[WORK] = work


def unmarked() -> dict[str, str]:
    """The environment for a process that is to outlive this one."""
    return {name: value for name, value in os.environ.items() if name != WORK}


def end(variable: str, value: str) -> list[int]:
    """Kill every process that has a variable in the environment it was started with; their ids.

    This process is none of them, and neither is one that may not be looked at.
    """
    wanted = f"{variable}={value}".encode()
    ended: list[int] = []
    while found := [pid for pid in _processes() if wanted in _environment(pid)]:
        for pid in found:  # once more afterwards: a process can start another one while we look
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended += [pid for pid in found if pid not in ended]
    return ended


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if int(entry.name) != os.getpid()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []
