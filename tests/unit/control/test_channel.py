"""The controller's socket: who may ask, what is told, how a request is cancelled, and what is refused."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.control.channel import listener, protocol
from testbed.control.channel.client import AnotherProtocol, session
from testbed.control.channel.listener import Handler, Request, Service, listening
from testbed.control.state.progress import Progress
from testbed.errors import (
    Aborted,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from testbed.json_object import Json
from tests.waiting import PATIENCE

ME = os.geteuid()


@contextmanager
def served(folder: Path, handlers: Mapping[str, Handler], owner: int = ME) -> Iterator[None]:
    with listening(folder, Service(handlers, owner)):
        yield


def ask(folder: Path, command: str, arguments: Json | None = None) -> Json:
    with session(folder) as found:
        assert found is not None
        return found.ask(command, arguments or {})


def test_a_request_is_answered_and_told_of(tmp_path: Path) -> None:
    def work(request: Request) -> Json:
        request.report(Progress("nodes", "vm", 1, 2))
        return {"asked": request.arguments, "by": request.user}

    said: list[Progress] = []
    with served(tmp_path, {"work": work}), session(tmp_path) as found:
        assert found is not None
        assert found.ask("work", {"a": 1}, said.append) == {"asked": {"a": 1}, "by": ME}
    assert said == [Progress("nodes", "vm", 1, 2)]
    assert not (tmp_path / protocol.SOCKET).exists()


def test_errors_keep_their_class_text_and_hint(tmp_path: Path) -> None:
    def fail(_: Request) -> Json:
        raise NotFound("there is no node 'x'", hint="name another")

    def break_(_: Request) -> Json:
        raise KeyError("x")

    with served(tmp_path, {"fail": fail, "break": break_}):
        with pytest.raises(NotFound, match="no node 'x'") as caught:
            ask(tmp_path, "fail")
        assert caught.value.hint == "name another"
        with pytest.raises(Internal, match="KeyError: 'x'"):
            ask(tmp_path, "break")
        with pytest.raises(InvalidArgument, match="no command 'fly'"):
            ask(tmp_path, "fly")


def test_where_nobody_listens(tmp_path: Path) -> None:
    with session(tmp_path) as found:
        assert found is None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / protocol.SOCKET))  # a controller that was killed
    with session(tmp_path) as found:
        assert found is None
    with served(tmp_path, {}), session(tmp_path) as found:
        assert found is not None


def test_only_root_and_the_owner_may_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, {}):
        assert stat.S_IMODE((tmp_path / protocol.SOCKET).stat().st_mode) == 0o600
    monkeypatch.setattr(listener, "_CREDENTIALS", Stranger())
    with served(tmp_path, {}), pytest.raises(PermissionDenied, match="another user"), session(tmp_path):
        pass


class Stranger:
    """The credentials of a user that is neither root nor the owner."""

    size = 12

    def unpack(self, _: bytes) -> tuple[int, int, int]:
        return 1, ME + 4711, 1


def test_another_protocol_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, {}):
        real = protocol.receive
        monkeypatch.setattr(protocol, "receive", lambda stream: {**(real(stream) or {}), "protocol": 0})
        with pytest.raises(AnotherProtocol, match="is of testbed"), session(tmp_path):
            pass


def test_a_request_is_cancelled_and_its_end_is_told(tmp_path: Path) -> None:
    def work(request: Request) -> Json:
        request.report(Progress("nodes", "vm"))
        assert request.cancelled.wait(PATIENCE)
        raise Aborted("stopped")

    def press(_: Progress) -> None:
        raise KeyboardInterrupt

    with served(tmp_path, {"work": work}), session(tmp_path) as found:
        assert found is not None
        with pytest.raises(Aborted, match="stopped"):
            found.ask("work", {}, press)


def test_a_client_that_is_gone_is_noticed_and_harms_nothing(tmp_path: Path) -> None:
    ended = threading.Event()

    def work(request: Request) -> Json:
        assert request.gone.wait(PATIENCE)
        request.report(Progress("nodes", "vm"))  # to nobody
        ended.set()
        return {}

    with served(tmp_path, {"work": work, "other": lambda _: {"ok": True}}):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / protocol.SOCKET))
            assert client.recv(4096)  # the greeting
            client.sendall(b'{"command": "work"}\n')
        assert ended.wait(PATIENCE)
        assert ask(tmp_path, "other") == {"ok": True}


def test_what_is_held_lasts_as_long_as_the_context(tmp_path: Path) -> None:
    held = threading.Event()

    def hold(request: Request) -> Json:
        held.set()
        request.report(Progress("load", "there"))
        assert request.cancelled.wait(PATIENCE)
        held.clear()
        return {}

    with served(tmp_path, {"hold": hold}), session(tmp_path) as found:
        assert found is not None
        with found.holding("hold"):
            assert held.is_set()
        assert not held.is_set()


def test_the_end_of_the_controller_ends_requests(tmp_path: Path) -> None:
    begun = threading.Event()
    said: list[Exception] = []

    def work(request: Request) -> Json:
        begun.set()
        assert request.cancelled.wait(PATIENCE)
        raise Aborted("controller: it was told to end")

    def client() -> None:
        try:
            ask(tmp_path, "work")
        except Aborted as error:
            said.append(error)

    with served(tmp_path, {"work": work}):
        asking = threading.Thread(target=client)
        asking.start()
        assert begun.wait(PATIENCE)
    asking.join(PATIENCE)
    assert [str(error) for error in said] == ["controller: it was told to end"]


def test_there_is_room_for_so_many(tmp_path: Path) -> None:
    service = Service({}, ME, threading.BoundedSemaphore(1))
    with listening(tmp_path, service), session(tmp_path) as first:
        assert first is not None
        with pytest.raises(ResourceExhausted), session(tmp_path):
            pass


@pytest.mark.parametrize("line", [b"what\n", b"[1]\n", b"\xff\n", b"\n"])
def test_what_is_no_message_is_refused(tmp_path: Path, line: bytes) -> None:
    with served(tmp_path, {}), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / protocol.SOCKET))
        with client.makefile("rwb") as stream:
            assert protocol.receive(stream) is not None  # type: ignore[arg-type]
            stream.write(line)
            stream.flush()
            said = protocol.receive(stream)  # type: ignore[arg-type]
            assert said is not None
            assert said["error"]["status"] == "INVALID_ARGUMENT"


def test_a_controller_that_ends_in_the_middle_is_said(tmp_path: Path) -> None:
    path = tmp_path / protocol.SOCKET
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def greet_and_end() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as stream:
                protocol.send(stream, {"protocol": protocol.PROTOCOL})  # type: ignore[arg-type]
                stream.readline()

        answering = threading.Thread(target=greet_and_end)
        answering.start()
        with session(tmp_path) as found:
            assert found is not None
            with pytest.raises(Unavailable, match="before it answered"):
                found.ask("work", {})
        answering.join()
