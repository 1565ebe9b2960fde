"""The name of the testbed that the caller's shell is about: sudo(8) leaves it out of the environment of a command."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "TESTBED_NAME"


def restore_name() -> None:
    """Set `$TESTBED_NAME` as the caller of sudo(8) has it, if nothing else is set.

    sudo itself still has the caller's environment, and is this process's parent.  No other variable is taken over: a
    user who may only run this program as root must not choose its folders.
    """
    if "SUDO_UID" not in os.environ or NAME in os.environ:
        return
    try:
        pairs = Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    except OSError:
        return
    for pair in pairs:
        key, _, value = pair.partition(b"=")
        if key == NAME.encode():
            os.environ[NAME] = os.fsdecode(value)
