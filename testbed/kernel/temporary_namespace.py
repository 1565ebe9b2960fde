"""A network namespace without a name that lasts as long as one call: a place to try things out.

Namespaces belong to threads.  The call runs in a thread of its own, which leaves the host's namespace and ends with the
call; the commands that it starts inherit its namespace, and nobody else's changes.  Nothing has to be cleaned up: the
kernel takes the namespace away with its last thread and process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
"""sched.h; `os.unshare` came with Python 3.12."""

_libc = ctypes.CDLL(None, use_errno=True)


def in_new_namespace(call: Callable[[], T]) -> T:
    """Run `call` in a new network namespace.

    Raises OSError where this process may not make one, and whatever `call` raises.
    """

    def enter_and_call() -> T:
        if _libc.unshare(CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"unshare(CLONE_NEWNET): {os.strerror(number)}")
        return call()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox") as one_thread:
        return one_thread.submit(enter_and_call).result()
