from __future__ import annotations

import os
import pty
from collections.abc import Callable

import pytest


@pytest.mark.parametrize("fork", [os.fork, os.forkpty, pty.fork])
def test_a_fork_is_an_error_here(fork: Callable[[], int | tuple[int, int]]) -> None:
    with pytest.raises(RuntimeError, match="a process with threads must not fork"):
        _fork(fork)


def _fork(fork: Callable[[], int | tuple[int, int]]) -> None:
    made = fork()
    if made == 0 or (isinstance(made, tuple) and made[0] == 0):
        os._exit(0)
