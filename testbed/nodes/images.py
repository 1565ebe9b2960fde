"""The images that nodes run: built on first use, and again when something in them has changed.

A built-in image `testbed/NAME` is made from the folder `images/NAME`.  Its tag is a digest of that folder and of its
parent's tag, so whether it is up to date is only a question of whether the engine has that tag.  The parent is the
default of the Dockerfile's `ARG BASE`.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from testbed.errors import GoogleText, Internal, NotFound, Unavailable
from testbed.nodes import debian, tree
from testbed.nodes.build import Build
from testbed.nodes.engine import connect, engine_errors
from testbed.nodes.jobs import Job, do
from testbed.nodes.making import Board, Making
from testbed.nodes.registry import pull
from testbed.nodes.scratch import temporary_files_in
from testbed.nodes.stop import Stop
from testbed.nodes.unmade import unmade
from testbed.paths import IMAGES, state_root

PREFIX = "testbed/"
PARENT = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
TAG_LENGTH = 16


class Images:
    """The built-in images and the local engine's others.

    `report` is told how far the making of images is, by one thread at a time.
    """

    def __init__(self, client: docker.DockerClient, report: Callable[[Making], None], *, folder: Path = IMAGES) -> None:
        self._client = client
        self._report = report
        self._folder = folder
        self._references: dict[str, str] = {}

    def ensure(self, names: Collection[str]) -> dict[str, str]:
        """The id of each image; those that are missing are made, built-in ones side by side.

        Raises:
            NotFound: an image is not built in, not in the local engine and not in a registry that can be reached.
            Unimplemented: this machine lacks a tool that images are made with.
            Unavailable: packages could not be downloaded, or Docker does not answer.
            ResourceExhausted: a disk is full.

        """
        references = {name: self._tagged(name) for name in names}
        found = self._found(references)
        if missing := [name for name in references if name not in found]:
            self._build([name for name in missing if self._built_in(name)])
            found |= {name: self._had(name) for name in missing}
        return {name: found[name] for name in references}

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
        raise Internal(f"{dockerfile}: the line `ARG BASE=IMAGE` is missing")

    def _tagged(self, name: str) -> str:
        """An image as the engine knows it."""
        return self.reference(name) if self._built_in(name) else name

    def _found(self, references: Mapping[str, str]) -> dict[str, str]:
        """The ids of those that the engine has."""
        with engine_errors("Listing images"):
            images = self._client.api.images()
        ids = {tag: str(image["Id"]) for image in images for tag in [image["Id"], *(image["RepoTags"] or [])]}
        found = {name: ids.get(tag) or ids.get(f"{tag}:latest") for name, tag in references.items()}
        return {name: identifier for name, identifier in found.items() if identifier is not None}

    def _id(self, reference: str) -> str | None:
        with engine_errors(f"Looking at image {reference}"):
            try:
                return str(self._client.images.get(reference).id)
            except ImageNotFound:
                return None

    def _had(self, name: str) -> str:
        """The id of an image that was built, or else is looked for in a registry."""
        tagged = self._tagged(name)
        if not self._built_in(name) and self._id(tagged) is None:
            self._report(Making(f"{name} pulling", news=f"{name}: pulling"))
            if (reason := pull(name, Stop())) is not None:
                raise NotFound(
                    GoogleText(f"Image '{name}' not found."),
                    hint=f"build it with `docker build -t {name} FOLDER`, or make its registry reachable ({reason})",
                )
        if (found := self._id(tagged)) is None:
            raise Unavailable(f"image {name}: it was removed meanwhile", hint="run the command again")
        return found

    @contextmanager
    def _alone(self) -> Iterator[Path]:
        """Keep other processes of this machine from building at the same time; yields a folder for temporary files."""
        folder = state_root() / "build"
        state_root().mkdir(parents=True, exist_ok=True)
        with (state_root() / "images.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting = "waiting for another testbed that builds images"
                self._report(Making(waiting, news=waiting))
                fcntl.flock(lock, fcntl.LOCK_EX)
            with temporary_files_in(folder):
                yield folder

    def _build(self, names: Collection[str]) -> None:
        """Build images and those they stand on; those that are there are left as they are."""
        if not names:
            return
        stop = Stop()
        try:
            with self._alone() as folder, closing(connect()) as client:
                stop.watch(client)
                do(self._jobs(names, folder, client, stop), stop)
        except OSError as error:
            hint = f"The testbed writes to {state_root()} for that."
            raise unmade(f"Images could not be built: {error}", hint) from error

    def _jobs(self, names: Collection[str], folder: Path, client: docker.DockerClient, stop: Stop) -> dict[str, Job]:
        """What is left to do: an image is built after its parent, and after its Python packages were downloaded."""
        missing = dict.fromkeys(one for name in names for one in self._missing(name))
        jobs: dict[str, Job] = {}
        board = Board(self._report)
        for name in missing:
            short = name.removeprefix(PREFIX)
            if name == debian.NAME:
                jobs[name] = board.job(short, partial(debian.make, client, stop=stop))
                continue
            source, parent = self._source(name), self._parent(name)
            build = Build(name, self.reference(name), self._tagged(parent), source, folder / short)
            needs = [parent] if parent in missing else []
            if build.requirements.exists():
                needs.append(f"{name}'s packages")
                jobs[needs[-1]] = board.job(f"{short}'s Python packages", partial(build.download, stop))
            jobs[name] = board.job(short, partial(build.run, client), needs)
        return jobs

    def _missing(self, name: str) -> Iterator[str]:
        """An image and those it stands on, which come first; but those that the engine has."""
        if self._id(self._tagged(name)) is not None:
            return
        if self._built_in(name):
            yield from self._missing(self._parent(name))
            yield name
        elif name == debian.NAME:
            yield name
