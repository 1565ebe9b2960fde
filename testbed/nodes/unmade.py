"""The error where an image could not be made."""

from __future__ import annotations

from testbed.errors import ResourceExhausted, Unavailable
from testbed.paths import state_root


def unmade(text: str, hint: str) -> ResourceExhausted | Unavailable:
    """What to raise: `text` says what failed, with a program's output; `hint` what to do unless a disk is full."""
    if "no space left on device" in text.lower():
        return ResourceExhausted(text, hint=f"free space in {state_root()}, or in the folder of Docker's images")
    return Unavailable(text, hint=hint)
