"""The images that nodes run: built on first use, and again when something in them has changed.

A built-in image `testbed/NAME` is made from the folder `images/NAME`.  Its tag is a digest of that folder and of its
parent's tag, so whether it is up to date is only a question of whether the engine has that tag.  The parent is the
default of the Dockerfile's `ARG BASE`.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

import docker
from docker.errors import ImageNotFound

from testbed.errors import Internal, NotFound, Unavailable
from testbed.nodes import debian, tree, wheels
from testbed.nodes.engine import engine_errors, failure
from testbed.nodes.registry import pull
from testbed.nodes.scratch import temporary_files_in
from testbed.paths import IMAGES, state_root

PREFIX = "testbed/"
PARENT = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
TAG_LENGTH = 16
BUILD_DEADLINE = 1800
"""Seconds that a build may be silent."""
EVIDENCE = 30
"""Lines of a build's output that its error shows."""


class Images:
    """The built-in images and the local engine's others.

    `report` is called with an image's name and a line of progress.
    """

    def __init__(
        self, client: docker.DockerClient, report: Callable[[str, str], None], *, folder: Path = IMAGES
    ) -> None:
        self._client = client
        self._report = report
        self._folder = folder
        self._references: dict[str, str] = {}

    def ensure(self, names: Collection[str]) -> dict[str, str]:
        """The id of each image; those that are missing are made.

        Raises:
            NotFound: an image is not built in, not in the local engine and not in a registry that can be reached.
            Unimplemented: this machine lacks a tool that images are made with.
            Unavailable: packages could not be downloaded, or Docker does not answer.

        """
        local = self._local()
        found: dict[str, str] = {}
        for name in names:
            reference = self.reference(name) if self._built_in(name) else name
            found[name] = local.get(reference) or local.get(f"{reference}:latest") or self._make(name, reference)
        return found

    def reference(self, name: str) -> str:
        """The name and tag of a built-in image as its folder is now.

        Raises:
            Internal: its Dockerfile does not say what it stands on.

        """
        if name not in self._references:
            parent = self._parent(name)
            above = self.reference(parent) if self._built_in(parent) else parent
            content = f"{above}\n{tree.digest(self._source(name))}"
            self._references[name] = f"{name}:{hashlib.sha256(content.encode()).hexdigest()[:TAG_LENGTH]}"
        return self._references[name]

    def knows(self, name: str) -> bool:
        """Whether an image is built in, or the local engine has it."""
        return self._built_in(name) or self._id(name) is not None

    def _source(self, name: str) -> Path:
        return self._folder / name.removeprefix(PREFIX)

    def _built_in(self, name: str) -> bool:
        simple = name.startswith(PREFIX) and re.fullmatch(r"[a-z0-9-]+", name.removeprefix(PREFIX)) is not None
        return simple and (self._source(name) / "Dockerfile").is_file()

    def _parent(self, name: str) -> str:
        dockerfile = self._source(name) / "Dockerfile"
        if parent := PARENT.search(dockerfile.read_text()):
            return parent[1]
        raise Internal(f"{dockerfile}: there is no line `ARG BASE=IMAGE`.")

    def _local(self) -> dict[str, str]:
        """Every name of every image that the engine has, with the image's id."""
        with engine_errors("Listing images"):
            images = self._client.api.images()
        return {name: image["Id"] for image in images for name in [image["Id"], *(image["RepoTags"] or [])]}

    def _id(self, reference: str) -> str | None:
        with engine_errors(f"Looking at image {reference}"):
            try:
                return str(self._client.images.get(reference).id)
            except ImageNotFound:
                return None

    def _make(self, name: str, reference: str) -> str:
        if self._built_in(name):
            with self._alone(name):
                self._build(name)
        elif self._id(reference) is None:
            self._report(name, "pulling")
            if (reason := pull(reference)) is not None:
                raise NotFound(
                    f"Image '{name}' not found.",
                    hint=f"Build it with `docker build -t {name} FOLDER`, or make its registry reachable ({reason}).",
                )
        made = self._id(reference)
        if made is None:
            raise Unavailable(f"Image {reference} was there a moment ago and is gone.", hint="Run the command again.")
        return made

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keep other processes of this machine from building at the same time."""
        state_root().mkdir(parents=True, exist_ok=True)
        with (state_root() / "images.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._report(name, "waiting for another testbed that builds images")
                fcntl.flock(lock, fcntl.LOCK_EX)
            with temporary_files_in(state_root() / "build"):
                yield

    def _build(self, name: str) -> None:
        """Build an image, after those it stands on; one that is there is left as it is."""
        reference = self.reference(name)
        if self._id(reference) is not None:
            return
        parent = self._parent(name)
        if self._built_in(parent):
            self._build(parent)
            parent = self.reference(parent)
        elif parent == debian.NAME and self._id(parent) is None:
            debian.make(self._client, lambda line: self._report(parent, line))
        with context(self._source(name)) as stream, engine_errors(f"Building {name}"):
            output: deque[str] = deque(maxlen=EVIDENCE)
            for event in self._client.api.build(
                fileobj=stream,
                custom_context=True,
                tag=reference,
                buildargs={"BASE": parent},
                network_mode="host",  # the way that works where the host's own downloads work
                rm=True,
                forcerm=True,
                timeout=BUILD_DEADLINE,
                decode=True,
            ):
                line = str(event.get("stream", "")).rstrip()
                output.append(line)
                if line.startswith("Step "):
                    self._report(name, line)
                if (reason := failure(event)) is not None:
                    evidence = "\n".join(filter(None, output))
                    raise Unavailable(
                        f"Image {name} could not be built: {reason}\n{evidence}",
                        hint="A build downloads Debian's packages: check the network, then run the command again.",
                    )


@contextmanager
def context(source: Path) -> Iterator[IO[bytes]]:
    """What a build gets to see, as a tar archive: the image's folder, and the Python packages that it asks for.

    Raises:
        Unavailable: the packages could not be downloaded.

    """
    with tempfile.TemporaryFile() as stream:
        with tarfile.open(fileobj=stream, mode="w") as tar:
            tree.add(tar, source)
            requirements = source / "requirements.txt"
            if requirements.exists():
                with tempfile.TemporaryDirectory(prefix="testbed-wheels-") as folder:
                    wheels.download(requirements, Path(folder))
                    tree.add(tar, Path(folder), PurePath("wheels"))
                tree.add(tar, wheels.PIP, PurePath("wheels", "pip"))
        stream.seek(0)
        yield stream
