# ruff: noqa: INP001 - Ansible finds it by its place
"""The connection `docker_exec`: Ansible's commands run in a container, by the Docker Engine's own API.

It needs no `docker` command and no package besides Ansible.  The standard library's HTTP client is enough for three
requests, and Ansible, which loads its plugins anew in every run, is at work sooner than with Docker's package.
"""

from __future__ import annotations

import json
import shlex
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

DOCUMENTATION = """
name: docker_exec
short_description: run tasks in Docker containers
author: the testbed's
description:
  - Runs commands in containers that run, by the API of the Docker Engine of this host.
  - Needs neither the C(docker) command nor a package.
  - A container needs a shell, and for modules other than M(ansible.builtin.raw) a Python; no file is copied into it for
    them if pipelining is on.
notes:
  - There is no password to become another user with. Say O(remote_user) instead, it costs nothing.
  - Docker has no means to end a command. One that a task's C(timeout) gives up goes on in the container, without input.
extends_documentation_fragment:
  - connection_pipelining
options:
  remote_addr:
    description: Name or id of the container.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
  remote_user:
    description: Name or number of the user in the container, as of C(docker exec -u); by default the container's own.
    type: str
    vars:
      - name: ansible_user
    ini:
      - section: defaults
        key: remote_user
    env:
      - name: ANSIBLE_REMOTE_USER
    cli:
      - name: user
    keyword:
      - name: remote_user
  docker_host:
    description: The Docker Engine's Unix socket, as a URL; by default V(unix:///var/run/docker.sock).
    type: str
    vars:
      - name: ansible_docker_host
    env:
      - name: DOCKER_HOST
  docker_timeout:
    description:
      - Seconds for one answer of the Docker Engine.
      - A command may be silent for as long as it likes. A task's C(timeout) limits that.
    type: float
    default: 60
    vars:
      - name: ansible_docker_timeout
    env:
      - name: ANSIBLE_DOCKER_TIMEOUT
"""

display = Display()

SOCKET = "unix:///var/run/docker.sock"
STDOUT = 1
STDERR = 2
HEADER = struct.Struct(">BxxxL")
"""Before each piece of output: which stream it is of, and its length (Docker Engine API, `ContainerAttach`)."""
GRACE = 5.0
"""Seconds from the end of a command's output until Docker knows its exit status."""
POLL = 0.01


class Engine(HTTPConnection):
    """One HTTP connection to the Docker Engine."""

    wire: socket.socket
    """The socket; `sock` is forgotten as soon as an answer begins that goes on until the connection's end."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the Unix socket."""
        self.sock = self.wire = socket.socket(socket.AF_UNIX)
        self.wire.settimeout(self.timeout)
        self.wire.connect(self._path)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> HTTPResponse:
        """Make a request, of the newest version of the API that the engine has: executions are the same in all of them.

        Raises:
            AnsibleConnectionFailure: the engine refuses.
            OSError, HTTPException: it does not answer.
        """
        text = None if body is None else json.dumps(body)
        self.request(method, path, text, {"Content-Type": "application/json"})
        answer = self.getresponse()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise AnsibleConnectionFailure(f"Docker says: {_message(answer.read())}")
        return answer


def _message(body: bytes) -> str:
    """What an error's answer says."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip() or "nothing"


def _feed(stream: socket.socket, data: bytes) -> None:
    """Give a command its input, and tell it that this is all."""
    with closing(stream), suppress(OSError):  # it has ended, which its output and its status will say, too
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)


def _pieces(answer: HTTPResponse) -> Iterator[tuple[int, bytes]]:
    """A command's output until its end, piece by piece, each with its stream."""
    while len(header := answer.read(HEADER.size)) == HEADER.size:
        stream, length = HEADER.unpack(header)
        yield stream, answer.read(length)


def _run(engine: Engine, execution: str, data: bytes | None) -> tuple[bytes, bytes]:
    """Start a command; its output comes, until it ends, by the connection that its input goes by."""
    output = {STDOUT: bytearray(), STDERR: bytearray()}
    with closing(engine.ask("POST", f"/exec/{execution}/start", {"Detach": False, "Tty": False})) as answer:
        engine.wire.settimeout(None)  # a command may be silent for as long as it likes
        if data is not None:
            # Beside the output: a command that is not read from does not read.
            Thread(target=_feed, args=(engine.wire.dup(), data), daemon=True).start()
        for stream, piece in _pieces(answer):
            output[stream] += piece
    return bytes(output[STDOUT]), bytes(output[STDERR])


def _status(engine: Engine, execution: str) -> int:
    """The exit status of a command, once its output has ended."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        state = json.loads(engine.ask("GET", f"/exec/{execution}/json").read())
        if not state["Running"] and state["ExitCode"] is not None:
            return int(state["ExitCode"])
        time.sleep(POLL)
    raise AnsibleConnectionFailure("the output of the command has ended, but the command has not")


class Connection(ConnectionBase):  # type: ignore[misc]  # ansible has no types
    """Ansible looks for a class of this name."""

    transport = "docker_exec"
    has_pipelining = True
    has_tty = False

    def _connect(self) -> Connection:
        """Every command has a connection of its own."""
        self._connected = True
        return self

    def close(self) -> None:
        """Nothing is open between two commands."""
        self._connected = False

    def reset(self) -> None:
        """Nothing is kept from one command to the next."""

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:  # noqa: FBT001, FBT002  # Ansible's
        """Run a shell's command; returns its exit status, its standard output and its standard error.

        Raises:
            AnsibleConnectionFailure: the container is not there or does not run, or Docker does not answer.
        """
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv(f"EXEC {cmd}", host=self._container)
        with self._engine() as engine:
            made = engine.ask(
                "POST",
                f"/containers/{quote(self._container, safe='')}/exec",
                {
                    "Cmd": [self._play_context.executable, "-c", cmd],
                    "User": self.get_option("remote_user") or "",
                    "AttachStdin": in_data is not None,
                    "AttachStdout": True,
                    "AttachStderr": True,
                },
            )
            identifier = json.loads(made.read())["Id"]
            out, err = _run(engine, identifier, in_data)
            return _status(engine, identifier), out, err

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a file of this host into the container; it belongs to the user there.

        Raises:
            AnsibleFileNotFound: there is no such file here.
            AnsibleError: it cannot be written.
        """
        super().put_file(in_path, out_path)
        try:
            content = Path(in_path).read_bytes()
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(file_name=in_path) from error
        self._copy(f"cat >{shlex.quote(out_path)}", out_path, content)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Write a file of the container to this host.

        Raises:
            AnsibleError: it cannot be read.
        """
        super().fetch_file(in_path, out_path)
        Path(out_path).write_bytes(self._copy(f"cat {shlex.quote(in_path)}", in_path))

    def _copy(self, command: str, path: str, content: bytes | None = None) -> bytes:
        status, out, err = self.exec_command(command, content)
        if status:
            raise AnsibleError(f"container {self._container}: {path}: {err.decode(errors='replace').strip()}")
        return out

    @property
    def _container(self) -> str:
        return str(self.get_option("remote_addr"))

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        """A connection to Docker, whose errors name the container, or the engine that does not answer."""
        host = str(self.get_option("docker_host") or SOCKET)
        scheme, _, path = host.partition("://")
        if scheme != "unix":
            raise AnsibleConnectionFailure(
                f"the Docker Engine at {host} is not a Unix socket of this host (unix:///...)"
            )
        try:
            with closing(Engine(path, self.get_option("docker_timeout"))) as engine:
                yield engine
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(f"container {self._container}: {error.message}") from error
        except (OSError, HTTPException) as error:
            raise AnsibleConnectionFailure(
                f"container {self._container}: the Docker Engine at {host} does not answer: {error}"
            ) from error
