"""Jobs side by side, and how they are stopped."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import cast

import docker
import pytest
import requests

from testbed.nodes.jobs import WORKERS, Job, do
from testbed.nodes.making import Board, Making
from testbed.nodes.stop import Stop
from tests.waiting import PATIENCE

FOREVER = ["sh", "-c", "sleep 1000; true"]
"""A program that runs another one, which has its output open."""


class Endless(BaseHTTPRequestHandler):
    """Answers, and never comes to the end of it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"1\r\n.\r\n")
        self.rfile.read(1)  # until the other side is gone

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endless() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_job_is_done_after_those_it_needs() -> None:
    did: list[str] = []

    def job(name: str, *needs: str) -> Job:
        return Job(lambda: did.append(name), needs)

    do({"c": job("c", "a", "b"), "b": job("b", "a"), "d": job("d", "c"), "a": job("a")}, Stop())
    assert did == ["a", "b", "c", "d"]


def test_what_does_not_need_one_another_is_done_side_by_side() -> None:
    assert WORKERS >= 2
    both = threading.Barrier(2, timeout=PATIENCE)
    job = Job(lambda: cast(None, both.wait()))
    do({"a": job, "b": job}, Stop())


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(("end", "error"), [(fail, ZeroDivisionError), (_thread.interrupt_main, KeyboardInterrupt)])
def test_an_error_or_an_interrupt_stops_the_others(end: Callable[[], None], error: type[BaseException]) -> None:
    stop, runs, did = Stop(), threading.Event(), list[int]()

    def long() -> None:
        runs.set()
        did.append(stop.run(FOREVER).returncode)

    def ends() -> None:
        assert runs.wait(PATIENCE)
        end()

    with pytest.raises(error):
        do({"long": Job(long), "ends": Job(ends), "later": Job(lambda: did.append(0), ["ends", "long"])}, stop)
    assert did == [-15]


def test_a_program_that_begins_after_the_stop_ends_at_once() -> None:
    stop = Stop()
    stop.all()
    assert stop.run(FOREVER).returncode == -15


def test_a_stopped_answer_comes_to_an_end(endless: str) -> None:
    stop, began = Stop(), threading.Event()
    with requests.Session() as session:
        stop.watch(cast(docker.DockerClient, SimpleNamespace(api=session)))

        def listen() -> None:
            for _ in session.get(endless, stream=True, timeout=PATIENCE).iter_content(1):
                began.set()

        def stops() -> None:
            assert began.wait(PATIENCE)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do({"listen": Job(listen), "stops": Job(stops)}, stop)


def test_what_has_ended_by_itself_can_be_stopped(endless: str) -> None:
    stop = Stop()
    with requests.Session() as session:
        stop.watch(cast(docker.DockerClient, SimpleNamespace(api=session)))
        session.get(endless, stream=True, timeout=PATIENCE).close()
        assert stop.run(["echo", "done"]).stdout == "done\n"
        stop.all()


def test_progress_names_what_is_in_work_and_logs_what_is_done() -> None:
    said: list[Making] = []
    board = Board(said.append)
    do({"a": board.job("a", lambda tell: tell("1/2")), "b": board.job("b", lambda _: None, ["a"])}, Stop())
    assert [(now.text, now.done, now.total) for now in said] == [
        ("a", 0, 2),
        ("a 1/2", 0, 2),
        ("", 1, 2),
        ("b", 1, 2),
        ("", 2, 2),
    ]
    assert [now.news for now in said if now.news] == ["a: done (1 of 2)", "b: done (2 of 2)"]
