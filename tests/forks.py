"""No test makes this process fork: it has threads, as the controller has, and Python from 3.12 on warns of such a fork.

A lock that another thread holds at that moment stays locked in the child for ever.  What `subprocess` starts is no fork
in this sense: no Python runs in the child before the new program does.
"""

from __future__ import annotations

import sys

FORKS = {"os.fork", "os.forkpty"}
"""Python's audit events."""


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event in FORKS:
        raise RuntimeError(f"{event}: a process with threads must not fork; start a program of its own")


def pytest_configure() -> None:
    sys.addaudithook(_refuse)
