"""One command inside a container: its input, its output and its exit status, byte for byte."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import docker

from testbed.errors import Internal
from testbed.json_object import Json
from testbed.nodes.engine import engine_errors

STDOUT = 1
STDERR = 2
CHUNK = 65536
HEADER = struct.Struct(">BxxxL")
"""Before each piece of output: which stream it is of, and its length (Docker Engine API, `ContainerAttach`)."""
GRACE = 60.0
"""Seconds in which Docker starts a command, or knows the exit status of one whose output has ended."""
_POLL = 0.01


class ExecInstance:
    """A command that runs in a container; as a context, it does not outlive the context.

    With `stdin` it is given input by `write`; without, its input is empty.  With `tty` it runs on a terminal of its
    own, and all its output is STDOUT.  It runs as the container's user, or as `user`.

    Raises:
        FailedPrecondition: the container does not run.
        Unavailable: Docker does not answer.

    """

    def __init__(
        self,
        api: docker.APIClient,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        tty: bool = False,
        directory: str | None = None,
        user: str = "",
    ) -> None:
        self._api = api
        self._tty = tty
        self._what = f"Executing {argv[0]}"
        terminal = {"TERM": os.environ.get("TERM", "dumb")} if tty else None
        with engine_errors(self._what):
            made = api.exec_create(
                container, list(argv), stdin=stdin, tty=tty, environment=terminal, workdir=directory, user=user
            )
            self._id = str(made["Id"])
            # Not a socket, whatever the parameter is called: a stream that can only be read.
            stream: Any = api.exec_start(self._id, tty=tty, socket=True)
        self._response = stream._response  # noqa: SLF001
        self._output = buffered(self._response)
        self._socket: socket.socket = stream._sock  # noqa: SLF001
        self._socket.settimeout(None)  # a command may be silent for as long as it likes

    def __str__(self) -> str:
        return self._what

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self._response.close()

    def write(self, data: bytes) -> None:
        """Give the command input.

        Raises:
            OSError: the command has ended.

        """
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Tell the command that there is no more input."""
        with suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_WR)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the command's terminal its size."""
        with engine_errors(self._what):
            self._api.exec_resize(self._id, height=rows, width=columns)

    def output(self) -> Iterator[tuple[int, bytes]]:
        """The command's output as it comes, piece by piece, each with its stream: STDOUT or STDERR."""
        if self._tty:
            while data := self._output.read1(CHUNK):
                yield STDOUT, data
            return
        while len(header := self._output.read(HEADER.size)) == HEADER.size:
            stream, length = HEADER.unpack(header)
            yield stream, self._output.read(length)

    def kill(self) -> None:
        """Kill the command and end its output; one that Docker is about to start is killed as soon as it runs."""
        deadline = time.monotonic() + GRACE
        while not (pid := (state := self._state())["Pid"]) and state["ExitCode"] is None:
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A child of the command may hold the output open.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def status(self) -> int:
        """The command's exit status, once its output has ended.

        Raises:
            Internal: Docker does not know it.

        """
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            state = self._state()
            if not state["Running"] and state["ExitCode"] is not None:
                return int(state["ExitCode"])
            time.sleep(_POLL)
        raise Internal(f"{self._what}: the output has ended, but the command has not")

    def _state(self) -> Mapping[str, Any]:
        """What Docker knows of the command: `Pid` is 0 and `ExitCode` None before it starts."""
        with engine_errors(self._what):
            state: Json = self._api.exec_inspect(self._id)
        return state


def buffered(response: Any) -> io.BufferedReader:
    """The stream that docker-py has read an answer's header from.

    docker-py hands out the raw stream below it.  What came right after the header is in this one's buffer, so output
    has to be read from here.
    """
    stream: io.BufferedReader = response.raw._fp.fp  # noqa: SLF001
    return stream
