"""Environment variables that are secret: a file in the container has them, and Docker knows nothing of them.

What Docker is told as an environment, `docker inspect` shows.  So a shell reads the file, then becomes the program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from testbed.errors import InvalidArgument

FILE = "/run/testbed-environment"
LABEL = "dev.testbed.secrets"
"""Of containers with such a file."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = ("/bin/sh", "-c", f'set -a; . {FILE}; set +a; exec "$@"', "sh")


def content(secrets: Mapping[str, str]) -> str:
    """The file.

    Raises:
        InvalidArgument: a shell has no variables of such a name.
    """
    for name in secrets:
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f"environment variable {name!r}: one with a secret must have only letters, digits and underscores"
            )
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in secrets.items())


def with_secrets(argv: Sequence[str]) -> list[str]:
    """A command line that has the file's variables."""
    return [*_PREFIX, *argv]
