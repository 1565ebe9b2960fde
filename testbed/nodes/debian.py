"""What all built-in images stand on: Debian's official image, or the same made from Debian's packages."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable

import docker

from testbed.errors import Unimplemented
from testbed.nodes.engine import engine_errors
from testbed.nodes.registry import pull
from testbed.nodes.stop import Stop
from testbed.nodes.unmade import unmade

REPOSITORY = "testbed/debian"
RELEASE = "bookworm"
NAME = f"{REPOSITORY}:{RELEASE}"
OFFICIAL = "debian:bookworm-slim"
OPTIONS = [
    "--variant=minbase",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",  # else Perl comes along, to merge /usr afterwards
    "--dpkgopt=force-unsafe-io",  # an image that a power failure cuts short is made again
    '--aptopt=Acquire::Languages "none"',
]
LEFT_OUT = """
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
"""
"""What Debian's `slim` image leaves out, too, as options of dpkg(1)."""
LEAVE_OUT = f"""
set -e
echo '{LEFT_OUT.strip()}' > "$1"/etc/dpkg/dpkg.cfg.d/slim
cd "$1"/usr/share
rm -rf man/* locale/*
find doc -type f ! -name copyright -delete
"""
"""What makes a Debian so.  As options of mmdebstrap's own they are slow: it filters every package in Python then."""


def make(client: docker.DockerClient, tell: Callable[[str], None], stop: Stop) -> None:
    """Make the image `testbed/debian:bookworm`.

    Raises:
        Unimplemented: no registry can be reached, and mmdebstrap(1) is not installed.
        Unavailable: Debian's packages could not be had, or the engine failed.
        ResourceExhausted: a disk is full.

    """
    tell("pulled")
    reason = pull(OFFICIAL, stop)
    if reason is not None:
        tell("from packages")
        bootstrap(client, reason, stop)
        return
    with engine_errors("Tagging the base image"):
        client.api.tag(OFFICIAL, REPOSITORY, RELEASE)


def bootstrap(client: docker.DockerClient, reason: str, stop: Stop) -> None:
    """Make the image with mmdebstrap(1); `reason` says why it was not pulled.

    Raises:
        Unimplemented: mmdebstrap(1) is not installed.
        Unavailable: Debian's packages could not be had, or the engine failed.
        ResourceExhausted: a disk is full.

    """
    if shutil.which("mmdebstrap") is None:
        raise Unimplemented(
            f"base image: {OFFICIAL} cannot be pulled ({reason}), and mmdebstrap is not installed",
            hint="install mmdebstrap: testbed doctor --prepare",
        )
    with tempfile.TemporaryDirectory(prefix="testbed-debian-") as folder:
        root = f"{folder}/root.tar"
        # In a mount namespace of its own, so that what it mounts is gone even if it is killed.
        command = ["unshare", "--mount", "--", "mmdebstrap", *OPTIONS, f"--customize-hook={LEAVE_OUT}", RELEASE, root]
        done = stop.run(command)
        if done.returncode != 0:
            raise unmade(
                f"mmdebstrap could not make the base image:\n{done.stderr.strip()}",
                hint="It downloads Debian's packages: check the network, and the mirror in /etc/apt.",
            )
        with engine_errors("Importing the base image"):
            client.api.import_image_from_file(root, repository=REPOSITORY, tag=RELEASE)
