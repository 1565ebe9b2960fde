"""Asks the controller of a testbed for something."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from testbed.control.channel import protocol
from testbed.control.state.progress import Report, silent
from testbed.errors import FailedPrecondition, Unavailable
from testbed.json_object import Json


class AnotherProtocol(FailedPrecondition):
    """The controller is of another version of testbed, and speaks another protocol."""


class Session:
    """A connection to a controller, for one request."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def ask(self, command: str, arguments: Json, report: Report = silent) -> Json:
        """The result of a request.  Ctrl-C cancels it, and is answered by what that came to; a second one ends at once.

        Raises:
            TestbedError: what the controller says.
            Unavailable: the controller has ended meanwhile.
        """
        protocol.send(self._stream, {"command": command, "arguments": arguments})
        try:
            return self._answer(report)
        except KeyboardInterrupt:
            protocol.send(self._stream, {"cancel": True})
            return self._answer(report)

    @contextmanager
    def holding(self, command: str) -> Iterator[None]:
        """What a request brings lasts as long as the context.

        Raises:
            TestbedError: what the controller says.
        """
        protocol.send(self._stream, {"command": command})
        message = self._read() or {}
        if "error" in message:
            raise protocol.to_error(message["error"])
        yield
        protocol.send(self._stream, {"cancel": True})
        self._answer(silent)

    def _answer(self, report: Report) -> Json:
        while (message := self._read()) is not None:
            if "progress" in message:
                report(protocol.to_progress(message["progress"]))
            elif "error" in message:
                raise protocol.to_error(message["error"])
            elif "result" in message:
                result: Json = message["result"]
                return result
        raise Unavailable("controller: it ended before it answered", hint="start it again: testbed up")

    def _read(self) -> Json | None:
        try:
            return protocol.receive(self._stream)
        except ConnectionError:
            return None


@contextmanager
def session(folder: Path) -> Iterator[Session | None]:
    """A connection to the controller of the testbed that has this folder; None if none listens.

    Raises:
        AnotherProtocol: it is of another version.
        PermissionDenied: it does not serve this user.
    """
    with ExitStack() as stack:
        stream = _connected(folder, stack)
        if stream is None:
            yield None
            return
        greeting = protocol.receive(stream) or {}
        if "error" in greeting:
            raise protocol.to_error(greeting["error"])
        if greeting.get("protocol") != protocol.PROTOCOL:
            raise AnotherProtocol(
                f"the controller of testbed {folder.name!r} is of testbed {greeting.get('version')}",
                hint="`testbed up` replaces it",
            )
        yield Session(stream)


def _connected(folder: Path, stack: ExitStack) -> BinaryIO | None:
    try:
        path = protocol.within_reach(folder, stack) / protocol.SOCKET
        made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        made.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    return cast(BinaryIO, stack.enter_context(made.makefile("rwb")))
