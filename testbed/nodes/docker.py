"""The node driver: nodes as Docker containers, without any network of Docker's.

Containers carry the testbed's random id as a label; what lacks it is not ours and is never removed.  No container has a
capability that its node does not name, and user code has none.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import docker
from docker.errors import APIError
from docker.errors import NotFound as NoContainer
from docker.models.containers import Container

from testbed.errors import AlreadyExists, NotFound, Unavailable
from testbed.fabric.naming import host_name
from testbed.fabric.plan import Node
from testbed.json_object import Json
from testbed.model.compute.guest_scripts import Phase, Script
from testbed.nodes import disks, execute, guest, secret_environment, trust
from testbed.nodes.container import ID, USER, WORKSPACE, RunningNode, creation, running_node, spec_hash
from testbed.nodes.content import Content
from testbed.nodes.engine import engine_errors
from testbed.nodes.images import PREFIX, Images
from testbed.nodes.packages.installer import BUILD, Installer
from testbed.nodes.tree import packed

WORKERS = 8
"""Containers that are started or removed at a time."""
PATIENCE = 20.0
"""Seconds in which Docker has to finish what an earlier run has asked for."""
_CONFLICT = 409
_POLL = 0.05


class DockerNodes:
    """The nodes of one testbed.

    `ca` is the certificate of its CA, which nodes that are started trust if it is there.
    """

    def __init__(self, testbed: str, testbed_id: str, client: docker.DockerClient, ca: Path | None = None) -> None:
        self.testbed = testbed
        self._id = testbed_id
        self._client = client
        self._ca = ca
        self._bundles: dict[str, bytes] = {}
        """The CAs that images trust by themselves."""

    @cached_property
    def has_quota(self) -> bool:
        """Whether the engine's storage driver limits the files of containers, as far as is known."""
        with engine_errors("Asking for the storage driver"):
            return disks.may_have_quota(self._client.info())

    def spec_hash(self, node: Node, image: str) -> str:
        """What the node's container would be made from, as a digest that only this testbed can compute."""
        return spec_hash(node, image, self._id)

    # -- life ------------------------------------------------------------------------------------------------------

    def running(self, *, builds: bool = False) -> dict[str, RunningNode]:
        """All containers of this testbed by node name, whatever their state; those that only install, if asked for."""
        with engine_errors("Listing containers"):
            listed = self._client.api.containers(all=True, filters={"label": f"{ID}={self._id}"})
            details = self._inspect([item["Id"] for item in listed])
        nodes = (running_node(item) for item in details)
        return {node.name: node for node in nodes if builds or node.kind != BUILD}

    def installer(self, images: Images) -> Installer:
        """What installs packages for this testbed's runtimes."""
        return Installer(self.testbed, self._id, self._client, images)

    def _inspect(self, ids: Sequence[str]) -> list[Json]:
        def one(identifier: str) -> Json | None:
            try:
                attributes: Json = self._client.api.inspect_container(identifier)
            except NoContainer:  # removed since the list was made
                return None
            return attributes

        with ThreadPoolExecutor(WORKERS) as pool:
            return [item for item in pool.map(one, ids) if item is not None]

    def start(self, node: Node, image: str, packages: Path | None = None) -> RunningNode:
        """Start a node; `packages` is an archive of what was installed for its source.

        Raises:
            AlreadyExists: a container of its name exists that is not this testbed's.
            Unavailable: the container ended as soon as it was started.
        """
        name = host_name(self.testbed, node.name)
        with engine_errors(f"Starting {node.name}"):
            brought = disks.brought(Path(node.source) if node.source else None, packages)
            container = self._create(node, image, name, brought)
            self._fill(container, node, image)
            if packages is not None:
                with packages.open("rb") as installed:
                    container.put_archive("/", installed)
            container.start()
            started = running_node(self._client.api.inspect_container(str(container.id)))
        if started.state != "running":
            output = container.logs(tail=5).decode(errors="replace").strip()
            raise Unavailable(f"node {node.name}: it ended as soon as it was started: {output or 'no output'}")
        return started

    def _fill(self, container: Container, node: Node, image: str) -> None:
        """Put into a container what its node has beside the image."""
        with Content() as content:
            if node.source:
                content.add_folder(Path(node.source), WORKSPACE, USER)  # the image need not have the folder
            if node.secrets:
                content.add_files({secret_environment.FILE: secret_environment.content(node.secrets)}, USER)
            content.add_files(node.files, USER)
            if node.is_client and self._ca is not None and self._ca.is_file():
                content.add_files(trust.files(self._bundle(container, node, image), self._ca.read_bytes()), 0)
            if (stream := content.stream()) is not None:
                container.put_archive("/", stream)

    def _bundle(self, container: Container, node: Node, image: str) -> bytes:
        """The CAs that an image trusts by itself.  Built-in images have those of the image that all stand on."""
        known = PREFIX if node.image.startswith(PREFIX) else image
        if known not in self._bundles:
            try:
                chunks, _ = container.get_archive(trust.BUNDLE)
                self._bundles[known] = trust.content(b"".join(chunks))
            except NoContainer:  # so Docker says that there is no such file
                self._bundles[known] = b""
        return self._bundles[known]

    def check_names(self, nodes: Iterable[str]) -> None:
        """See that nobody else has a container of these nodes' names.

        Raises:
            AlreadyExists: somebody has.
        """
        with engine_errors("Listing containers"):
            listed = self._client.api.containers(all=True)
        foreign = {
            name.removeprefix("/") for item in listed for name in item["Names"] if not self._is_ours(item["Labels"])
        }
        for node in nodes:
            if (name := host_name(self.testbed, node)) in foreign:
                raise _in_the_way(name)

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        return labels.get(ID) == self._id

    def _create(self, node: Node, image: str, name: str, brought: int = 0) -> Container:
        """The container of a node; one that an earlier run of this testbed has left is removed.

        A run that was killed may have asked for it a moment ago: then Docker has the name before there is a container.
        """
        spec = self.spec_hash(node, image)
        asked = self._reading_secrets(node, image) if node.secrets else node
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                made = creation(self.testbed, self._id, asked, image, spec, brought=brought, quota=self.has_quota)
                return self._client.containers.create(**made)
            except APIError as error:
                if self.has_quota and "storage-opt" in str(error):  # it is mounted without quotas
                    self.has_quota = False
                    continue
                if error.status_code != _CONFLICT or time.monotonic() > deadline:
                    raise
            self._make_way(name)

    def _reading_secrets(self, node: Node, image: str) -> Node:
        """A node whose program is begun by what reads the secrets."""
        entrypoint, command = self._own_command(image)
        kept = () if node.entrypoint else command
        argv = [*(node.entrypoint or entrypoint), *(node.command or kept)]
        return replace(node, entrypoint=tuple(secret_environment.with_secrets(argv)), command=())

    def _argv(self, container: Container, argv: Sequence[str]) -> Sequence[str]:
        """A command for a container as its workload's program would begin it: with the secrets."""
        return secret_environment.with_secrets(argv) if secret_environment.LABEL in container.labels else argv

    def _make_way(self, name: str) -> None:
        """Remove the container that has the name of one of ours, if it is ours."""
        try:
            present = self._client.containers.get(name)
        except NoContainer:
            time.sleep(_POLL)
            return
        if not self._is_ours(present.labels):
            raise _in_the_way(name)
        _remove(present)

    def kill(self, name: str) -> None:
        """End what runs in a node; its container stays."""
        with engine_errors(f"Killing {name}"), suppress(NoContainer):
            self.container(name).kill()

    def used(self, container: str) -> int:
        """Bytes that the files of a container take, beyond those of its image; 0 if it is gone."""
        with engine_errors("Measuring a container"):
            try:
                return disks.used(self._client, container)
            except NoContainer:
                return 0

    def stop_all(self, names: Sequence[str]) -> None:
        """Kill and remove nodes side by side; one that is gone is no error."""
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self.stop, names))

    def stop(self, name: str) -> None:
        """Kill and remove a node; one that is gone is no error."""
        container = self._find(name)
        if container is None:
            return
        with engine_errors(f"Removing {name}"):
            _remove(container)

    def _find(self, name: str) -> Container | None:
        with engine_errors(f"Looking for {name}"):
            try:
                container = self._client.containers.get(host_name(self.testbed, name))
            except NoContainer:
                return None
        return container if self._is_ours(container.labels) else None

    def container(self, name: str) -> Container:
        """The container of a node.

        Raises:
            NotFound: there is no such node.
        """
        found = self._find(name)
        if found is None:
            known = ", ".join(sorted(self.running())) or "none"
            raise NotFound(f"node {name!r}: testbed {self.testbed!r} does not have it (nodes: {known})")
        return found

    # -- use -------------------------------------------------------------------------------------------------------

    def execute(self, name: str, argv: Sequence[str]) -> int:
        """Run a command in a node with this program's own input and output; returns its exit status."""
        container = self.container(name)
        return execute.passed_through(self._client, str(container.id), self._argv(container, argv))

    def capture(
        self,
        name: str,
        argv: Sequence[str],
        *,
        on_output: Callable[[bytes], object] | None = None,
        directory: str | None = None,
        timeout: float | None = None,
        given: bytes | None = None,
        user: str = "",
    ) -> tuple[int, bytes]:
        """Run a command in a node, as `execute.captured` does."""
        container = self.container(name)
        return execute.captured(
            self._client,
            str(container.id),
            self._argv(container, argv),
            on_output,
            directory,
            timeout=timeout,
            given=given,
            user=user,
        )

    def run_scripts(
        self, name: str, phase: Phase, scripts: Sequence[Script], timeout: float | None = None
    ) -> list[str]:
        """Run scripts of its metadata in a VM, for so many seconds each; says what became of each."""
        return guest.run(self._client, self.container(name), phase, scripts, timeout)

    def own_command(self, name: str) -> tuple[list[str], list[str]]:
        """Entry point and command that the image of a node has by itself.

        Raises:
            NotFound: there is no such node.
        """
        return self._own_command(self.container(name).attrs["Image"])

    def _own_command(self, image: str) -> tuple[list[str], list[str]]:
        with engine_errors(f"Looking at the image {image}"):
            config = self._client.images.get(image).attrs["Config"]
        # What is not set is null, or left out (from the API 1.52 on).
        return list(config.get("Entrypoint") or ()), list(config.get("Cmd") or ())

    def logs(
        self, name: str, *, follow: bool = False, tail: int | None = None, only: str | None = None, times: bool = False
    ) -> Iterator[bytes]:
        """What a node has written to its standard output and error, or to `only` one of them.

        With `times`, the time stands before each line (RFC 3339, in UTC).
        """
        container = self.container(name)
        with engine_errors(f"Reading the log of {name}"):
            yield from container.logs(
                stream=True,
                follow=follow,
                tail="all" if tail is None else tail,
                stdout=only in (None, "stdout"),
                stderr=only in (None, "stderr"),
                timestamps=times,
            )

    def put_files(self, name: str, files: Mapping[str, str]) -> None:
        """Write files, whose folders are there, into a node; they belong to the node's user."""
        with engine_errors(f"Writing files in {name}"):
            self.container(name).put_archive("/", packed(files, USER))

    def put_file(self, name: str, folder: str, path: str, content: bytes) -> None:
        """Write a file (and the folders above it) below a folder of a node; it belongs to the node's user."""
        with engine_errors(f"Writing {path} in {name}"):
            self.container(name).put_archive(folder, packed({path: content}, USER))

    def fetch_file(self, name: str, path: str) -> bytes:
        """The content of a file in a node.

        Raises:
            NotFound: there is no such file.
        """
        with engine_errors(f"Reading {path} in {name}"):
            try:
                chunks, _ = self.container(name).get_archive(path)
            except NoContainer as error:
                raise NotFound(f"node {name}: it has no file {path}") from error
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.next()
                file = archive.extractfile(member) if member else None
                return file.read() if file else b""


def _in_the_way(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"container {name}: it exists, but this testbed did not make it",
        hint=f"remove it (docker rm {name}), or give the testbed another name",
    )


def _remove(container: Container) -> None:
    """Kill and remove a container, or wait until another process has removed it."""
    try:
        container.remove(force=True, v=True)
    except NoContainer:
        return
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise
        with suppress(NoContainer):
            container.wait(condition="removed")
