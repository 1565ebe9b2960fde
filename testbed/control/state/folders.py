"""Where the state of each testbed lies."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import InvalidArgument
from testbed.model.core.names import COMPUTE_NAME, LONGEST_TESTBED
from testbed.paths import state_root

FILE = "state.db"
"""The testbed exists as long as this file does."""


def folder_of(name: str) -> Path:
    """The state folder of a testbed.

    Raises:
        InvalidArgument: if no testbed can be called that.
    """
    if len(name) > LONGEST_TESTBED or not COMPUTE_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not the name of a testbed: it has at most {LONGEST_TESTBED} lower-case letters, digits and"
            " hyphens, and begins with a letter"
        )
    return state_root() / name


def names() -> list[str]:
    """The testbeds that have state on this machine."""
    root = state_root()
    return sorted(path.parent.name for path in root.glob(f"*/{FILE}")) if root.is_dir() else []


def exists(name: str) -> bool:
    """Whether there is a testbed of this name, finished or not."""
    return (folder_of(name) / FILE).exists()
