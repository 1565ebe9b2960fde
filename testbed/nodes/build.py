"""One image built by the Docker Engine from a folder with a Dockerfile."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO

import docker

from testbed.nodes import tree, wheels
from testbed.nodes.engine import engine_errors, failure
from testbed.nodes.making import Tell
from testbed.nodes.stop import Stop
from testbed.nodes.unmade import unmade

DEADLINE = 1800
"""Seconds that a build may be silent."""
EVIDENCE = 30
"""Lines of a build's output that its error shows."""
STEP = re.compile(r"Step (\d+/\d+) :")


@dataclass(frozen=True, slots=True)
class Build:
    """What an image is built from.

    `base` is the reference of the image it stands on; `packages` is a folder for the Python packages it asks for.
    """

    name: str
    reference: str
    base: str
    source: Path
    packages: Path

    @property
    def requirements(self) -> Path:
        """The file that names its Python packages; there need not be one."""
        return self.source / "requirements.txt"

    def download(self, stop: Stop, _: Tell) -> None:
        """Download its Python packages.

        Raises:
            Unavailable: pip could not get them.
            ResourceExhausted: a disk is full.

        """
        wheels.download(self.requirements, self.packages, stop)

    def run(self, client: docker.DockerClient, tell: Tell) -> None:
        """Build the image.

        Raises:
            Unavailable: an instruction failed, or the engine did.
            ResourceExhausted: a disk is full.

        """
        output: deque[str] = deque(maxlen=EVIDENCE)
        with self._context() as stream, engine_errors(f"Building {self.name}"):
            for event in client.api.build(
                fileobj=stream,
                custom_context=True,
                tag=self.reference,
                buildargs={"BASE": self.base},
                network_mode="host",  # the way that works where the host's own downloads work
                rm=True,
                forcerm=True,
                timeout=DEADLINE,
                decode=True,
            ):
                line = str(event.get("stream", "")).rstrip()
                output.append(line)
                if step := STEP.match(line):
                    tell(step[1])
                if (reason := failure(event)) is not None:
                    evidence = "\n".join(filter(None, output))
                    raise unmade(
                        f"Image {self.name} could not be built: {reason}\n{evidence}",
                        hint="A build downloads Debian's packages: check the network, then run the command again.",
                    )

    @contextmanager
    def _context(self) -> Iterator[IO[bytes]]:
        """What the build sees, as a tar archive: the image's folder, and its Python packages and pip in `wheels`."""
        with tempfile.TemporaryFile() as stream:
            with tarfile.open(fileobj=stream, mode="w") as tar:
                tree.add(tar, self.source)
                if self.packages.is_dir():
                    tree.add(tar, self.packages, PurePath("wheels"))
                    tree.add(tar, wheels.PIP, PurePath("wheels", "pip"))
            stream.seek(0)
            yield stream
