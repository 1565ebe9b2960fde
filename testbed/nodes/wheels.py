"""Python packages for an image, downloaded by the host's pip.

A build would need the network's certificate authority to download them itself (some networks inspect TLS); the host's
pip is set up for its network already.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pip

from testbed.nodes.stop import Stop
from testbed.nodes.unmade import unmade

PYTHON = "3.11"
"""Debian bookworm's, in the images."""
GLIBC = 36
"""Debian bookworm has glibc 2.36: wheels for anything up to it run there (PEP 600)."""
OLDEST_GLIBC = 17
PIP = Path(pip.__file__).parent
"""The host's pip, which installs them, too: the images have none."""


def platforms() -> list[str]:
    """The platform tags of wheels that run in the images on this machine."""
    machine = platform.machine()
    newer = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, OLDEST_GLIBC - 1, -1)]
    return [*newer, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]


def download(requirements: Path, folder: Path, stop: Stop) -> None:
    """Put the wheels that a requirements file pins into a folder; those that are there already are not fetched again.

    The file names every package itself, with its hashes, so nothing is resolved and nothing else is taken.

    Raises:
        Unavailable: pip could not get them.
        ResourceExhausted: a disk is full.

    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--python-version", PYTHON, "--implementation", "cp"]
    command += ["--requirement", str(requirements), "--dest", str(folder), "--find-links", str(folder)]
    for tag in platforms():
        command += ["--platform", tag]
    done = stop.run(command)
    if done.returncode != 0:
        raise unmade(
            f"The Python packages of {requirements} could not be downloaded:\n{done.stderr.strip()}",
            hint="pip needs a package index: check the network, its proxy, and `pip config list`.",
        )
