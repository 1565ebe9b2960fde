"""How long tests wait: with patience for what is to come, and shortly to see that nothing comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds after which what is expected has failed to come, however busy the machine is.  Only a failure takes as long.

The slowest event by itself is the end of a BGP session, a minute after its last message.
"""
COMMAND = 600.0
"""Seconds after which a whole command hangs: `testbed up` is many events, and on a new machine it builds images."""
TRY = 1.0
"""Seconds of one try out of several, by `eventually`."""
QUIET = 0.3
"""Seconds in which nothing comes where nothing is to come.  Every run spends them."""


def eventually(look: Callable[[], T | None], what: str) -> T:
    """The first true value of `look`, which is called again and again.

    Raises:
        AssertionError: there was none within `PATIENCE`; it says what was waited for, and the last value.
    """
    deadline = time.monotonic() + PATIENCE
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}; last seen: {value!r}"
        time.sleep(0.02)
    return value


def patience(expected: object) -> float:
    """Seconds to wait for something that comes if `expected` is true, and is not to come otherwise."""
    return PATIENCE if expected else QUIET
