"""Where the project's own files are, and where the testbed keeps its state.

The project runs from a checkout (an editable install) or from a copy of one in a container image, so the folders beside
the package are found from the package itself.
"""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
IMAGES = PROJECT / "images"
PLAYBOOKS = PROJECT / "playbooks"
LOADTESTS = PROJECT / "loadtests"
EXAMPLES = PROJECT / "examples"

DEFAULT_STATE_ROOT = Path("/var/lib/testbed")


def client_folder(testbed: str) -> Path:
    """The folder of a testbed that its clients may enter, whoever they are: they are told of files in it."""
    return state_root() / ".clients" / testbed


def state_root() -> Path:
    """The folder with one folder of state for each testbed: `$TESTBED_STATE`, or `/var/lib/testbed`."""
    return Path(os.environ.get("TESTBED_STATE") or DEFAULT_STATE_ROOT)
