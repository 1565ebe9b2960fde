"""Where the project's own files are, and where the testbed keeps its state."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "project"
"""A wheel has the folders inside the package: pyproject.toml puts them there."""

PROJECT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent
"""In a checkout, and in the image of compose.yaml, the folders are beside the package."""
IMAGES = PROJECT / "images"
PLAYBOOKS = PROJECT / "playbooks"
LOADTESTS = PROJECT / "loadtests"
EXAMPLES = PROJECT / "examples"

DEFAULT_STATE_ROOT = Path("/var/lib/testbed")


def client_folder(testbed: str) -> Path:
    """The folder of a testbed that every client may enter: it has the files that clients are told of."""
    return state_root() / ".clients" / testbed


def reports_folder(testbed: str) -> Path:
    """The folder with the reports of a testbed's load tests, which outlive it; everybody may enter it."""
    return state_root() / ".reports" / testbed


def state_root() -> Path:
    """The folder with one folder of state for each testbed: `$TESTBED_STATE`, or `/var/lib/testbed`."""
    return Path(os.environ.get("TESTBED_STATE") or DEFAULT_STATE_ROOT)
