"""Nodes of a testbed that is never wired: containers with a loopback device and nothing else."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import docker

from testbed.fabric.plan import Node
from testbed.nodes.container import RunningNode
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect
from testbed.nodes.execute import passed_through
from testbed.nodes.images import Images
from tests.waiting import PATIENCE


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class Testbed:
    __test__ = False

    client: docker.DockerClient
    name: str = field(default_factory=lambda: f"nt{secrets.token_hex(3)}")
    nodes: DockerNodes = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = DockerNodes(self.name, secrets.token_hex(8), self.client)

    def start(self, *nodes: Node) -> list[RunningNode]:
        images = Images(self.client, lambda *_: None).ensure({node.image for node in nodes})
        return [self.nodes.start(node, images[node.image]) for node in nodes]

    def run(self, node: str, *command: str) -> str:
        """What a command prints; it has to succeed."""
        status, output = self.nodes.capture(node, command, timeout=PATIENCE)
        assert status == 0, output
        return output.decode()

    def execute(self, node: str, *command: str, stdin: bytes = b"") -> Result:
        """A command with streams of its own: files, as in a shell script."""
        files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        try:
            os.write(files[0], stdin)
            os.lseek(files[0], 0, os.SEEK_SET)
            container = str(self.nodes.container(node).id)
            status = passed_through(self.client, container, command, (files[0], files[1], files[2]))
            stdout, stderr = (os.pread(file, os.fstat(file).st_size, 0) for file in files[1:])
            return Result(status, stdout, stderr)
        finally:
            for file in files:
                os.close(file)


@contextmanager
def testbed() -> Iterator[Testbed]:
    made = Testbed(connect())
    try:
        yield made
    finally:
        made.nodes.stop_all(list(made.nodes.running()))
        made.client.close()


testbed.__test__ = False  # type: ignore[attr-defined]
