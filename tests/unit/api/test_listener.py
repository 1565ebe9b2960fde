from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from testbed.api.frontdoor import listener
from testbed.api.frontdoor.listener import accept, listen, room_for
from testbed.errors import InvalidArgument, Unavailable

ANY = "0.0.0.0"  # noqa: S104 - what the tests are about


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_any_free_port() -> None:
    with listen(0) as sock, socket.create_connection(sock.getsockname()):
        assert sock.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_passed_over(taken: int) -> None:
    with listen(taken) as sock:
        assert taken < sock.getsockname()[1] < taken + 100


def test_a_port_that_belongs_to_another_testbed_is_not_taken() -> None:
    """Its controller may have died: nobody listens there now, and clients still know it."""
    with listen(0) as sock:
        free = sock.getsockname()[1]
    with listen(free, avoid={free}) as other:
        assert other.getsockname()[1] != free


def test_no_port_is_free(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TRIES", 1)
    with pytest.raises(Unavailable, match=f"{taken} to {taken}"):
        listen(taken)


def test_the_last_port_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_family: object, _host: str, _port: int) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(listener, "_listen", full)
    with pytest.raises(Unavailable, match="65500 to 65535"):
        listen(65500)


@pytest.mark.parametrize("host", [ANY, "::", "192.0.2.1"])
def test_other_machines_do_not_get_in_by_mistake(host: str) -> None:
    with pytest.raises(InvalidArgument, match="other machines"):
        listen(0, host)


def test_other_machines_get_in_if_somebody_says_so() -> None:
    with listen(0, ANY, exposed=True) as sock:
        assert sock.getsockname()[0] == ANY


@pytest.mark.parametrize(
    ("port", "host", "said"),
    [
        (0, "localhost", "'localhost': it is not an IP address"),
        (0, "", "'': it is not an IP address"),
        (-1, "127.0.0.1", "port -1: ports are"),
        (65536, "127.0.0.1", "port 65536: ports are"),
    ],
)
def test_what_is_no_address_or_port(port: int, host: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        listen(port, host)


def test_what_the_kernel_refuses_is_said() -> None:
    with pytest.raises(Unavailable, match=r"port 80 of 192\.0\.2\.1: "):
        listen(80, "192.0.2.1", exposed=True)


class Full(socket.socket):
    """A listener of a process that has too many open files, once."""

    refused = 0

    def accept(self) -> tuple[socket.socket, object]:
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_too_many_open_files_end_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(listener, "_PAUSE", 0)
    with Full(fileno=listen(0).detach()) as sock, socket.create_connection(sock.getsockname()) as client:
        with asyncio.run(accept(sock)) as accepted:
            assert accepted.getpeername() == client.getsockname()
        assert sock.refused == 1
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "fits"),
    [
        (1024, 524288, (6200, 524288), 2000),
        (1024, resource.RLIM_INFINITY, (6200, resource.RLIM_INFINITY), 2000),
        (1024, 3200, (3200, 3200), 1000),
        (128, 128, (128, 128), 1),
        (20000, 20000, None, 2000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 2000),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: tuple[int, int] | None, fits: int
) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: said.append(limits))
    assert room_for(2000) == fits
    assert said == ([raised] if raised else [])
