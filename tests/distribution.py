"""What is handed out of the project: its source archive and its wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build the `sdist` or the `wheel` of a source tree into a folder, with the build back end that is installed."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made
