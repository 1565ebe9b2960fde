"""Files that a command hands to its user, with sudo(8) or without."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from testbed.cli.output import errors
from testbed.errors import InvalidArgument


def hand_out(text: str, output: Path | None) -> None:
    """Write a text with a secret in it to a file, or to stdout if none is given."""
    if output is None:
        sys.stdout.write(text)
    else:
        write(output, text)
        errors.print(f"written: {output}", markup=False)


def write(path: Path, text: str) -> None:
    """Write a file that is its owner's alone (0600).

    Raises:
        InvalidArgument: it cannot be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
        give(path)
    except OSError as error:
        raise InvalidArgument(f"file {path}: cannot be written: {error.strerror}") from error


def give(path: Path) -> None:
    """Let a file, or a folder with all that is in it, be that of the user who called sudo(8)."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user and group and os.geteuid() == 0:
        for one in (path, *path.rglob("*")):
            os.chown(one, int(user), int(group), follow_symlinks=False)
