"""Runs the system's network programs: a fixed argument list, the rest through standard input, never a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from testbed.errors import Internal, Unimplemented

_ENVIRONMENT = {"LC_ALL": "C", "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"}
"""What a program sees differently from us."""


class CommandFailed(Internal):
    """A program refused its input.  `stderr` is what it said."""

    def __init__(self, message: str, stderr: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stderr = stderr


def run(arguments: Sequence[str], text: str = "") -> str:
    """What the program prints when it gets `text`, run in the calling thread's network namespace.

    Raises:
        Unimplemented: the program is not installed.
        CommandFailed: its exit status was not 0.
    """
    environment = os.environ | _ENVIRONMENT
    try:
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError as error:
        raise Unimplemented(
            f"program {arguments[0]}: it is not installed", hint="install it: apt install iproute2 iptables ipset"
        ) from error
    if done.returncode:
        stderr = done.stderr.strip()
        raise CommandFailed(f"{' '.join(arguments)} failed ({done.returncode}): {stderr}", stderr)
    return done.stdout
