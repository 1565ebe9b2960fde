"""Locust itself, run as a process against a web server on the loopback address."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from testbed.control.facts.traffic import InstanceTraffic
from testbed.errors import FailedPrecondition, NotFound, Unavailable
from testbed.load import web
from testbed.load.request import LoadRequest, LoadTarget
from testbed.load.result import LoadProgress, LoadResult
from testbed.load.run import run
from tests.waiting import PATIENCE

SCENARIOS = Path(__file__).parents[3] / "loadtests"


class Process:
    """A load generator that is a process of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def put_file(self, path: str, content: bytes) -> None:
        (self.folder / path).write_bytes(content)

    def execute(self, argv: Sequence[str], on_output: Callable[[bytes], None]) -> int:
        assert argv[0] == "locust"
        command = [sys.executable, "-m", *argv]
        with subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as self.process:
            assert self.process.stdout
            while output := os.read(self.process.stdout.fileno(), 1 << 16):
                on_output(output)
        return self.process.returncode

    def interrupt(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGINT)

    def fetch(self, path: str) -> bytes:
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError:
            raise NotFound(path) from None


class FrontEnd(BaseHTTPRequestHandler):
    """The front end and, by Host header, services of more and less virtue."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # header and body in one segment
    values: dict[str, str]
    served: Counter[tuple[str, str, str]]
    """Requests by service, method and last part of the path."""

    def do_GET(self) -> None:
        service, url = self.headers["Host"].partition(".")[0], urlsplit(self.path)
        self.served[service, "GET", url.path.rpartition("/")[2]] += 1
        if url.path.endswith("/redis"):
            key = parse_qs(url.query)["key"][0]
            self.answer({"key": key, "value": "stale" if service == "stale" else self.values[key]})
        elif service == "broken":
            self.answer({"error": {"status": 502, "message": "refused"}}, 502)
        else:
            client = "192.0.2.9" if service == "alien" else "10.8.0.2"
            self.answer({"status": 200, "body": {"node": "other" if service == "other" else "vm", "client": client}})

    def do_POST(self) -> None:
        self.served[self.headers["Host"].partition(".")[0], "POST", self.path.rpartition("/")[2]] += 1
        pair = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.values[pair["key"]] = pair["value"]
        self.answer(pair)

    def answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Counter[tuple[str, str, str]]:
    """What the front end was asked for."""
    return Counter()


@pytest.fixture
def front_end(served: Counter[tuple[str, str, str]]) -> Iterator[str]:
    handler = type("Handler", (FrontEnd,), {"values": {}, "served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def generator(tmp_path: Path) -> Process:
    folder = tmp_path / "generator"
    folder.mkdir()
    return Process(folder)


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def request_for(front_end: str, *names: str, scenario: str = "mixed", duration: int = 1) -> LoadRequest:
    services = tuple(LoadTarget(name, f"http://{name}.example/base", front_end) for name in names)
    return LoadRequest(
        scenario,
        services,
        users=4,
        spawn_rate=50,
        duration=duration,
        think_time=0.02,
        connector_ranges=("10.8.0.0/28",),
        vm_node="vm",
    )


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def failures(result: LoadResult) -> set[tuple[str, str]]:
    return {(failure.name, failure.message) for failure in result.outcome.failures}


def test_the_image_has_the_locust_of_these_tests() -> None:
    image = SCENARIOS.parent / "images" / "load" / "requirements.txt"
    assert f"locust=={metadata.version('locust')}" in image.read_text().split()


@pytest.mark.usefixtures("interruptible")
def test_a_load_without_failures(
    generator: Process, front_end: str, served: Counter[tuple[str, str, str]], tmp_path: Path
) -> None:
    """It goes on until each service was asked for everything, which may take a busy machine long."""
    seconds: list[LoadProgress] = []
    presses = iter([press_ctrl_c])

    def told(progress: LoadProgress) -> None:
        seconds.append(progress)
        if progress.users == 4 and len(served) == 6 and min(served.values()) > 2:
            next(presses, lambda: None)()

    readings = iter([[InstanceTraffic("c1-0", "10.8.0.2", 1, 10)], [InstanceTraffic("c1-0", "10.8.0.2", 4, 90)]])
    result, folder = run(
        generator,
        request_for(front_end, "run", "fn", duration=int(PATIENCE)),
        scenarios=SCENARIOS,
        loads=tmp_path / "loads",
        counters=lambda: next(readings),
        on_progress=told,
    )
    assert not result.failed, (folder / "locust.log").read_text()
    rows = {row.name: row.requests for row in result.outcome.rows}
    assert rows.keys() == {f"{name} {what}" for name in ("run", "fn") for what in ("vm", "redis write", "redis read")}
    assert min(rows.values()) > 1
    assert sum(rows.values()) == result.outcome.total.requests
    seen = {(source.name, source.address): source.requests for source in result.outcome.sources}
    assert seen == {("run vm", "10.8.0.2"): rows["run vm"], ("fn vm", "10.8.0.2"): rows["fn vm"]}
    assert result.instances == (InstanceTraffic("c1-0", "10.8.0.2", 3, 80),)
    assert tuple(seconds) == result.history
    assert seconds[-1].users == 4
    assert 0 < result.generator_cpu < 150

    assert folder.parent == tmp_path / "loads"
    assert folder.name.endswith("Z-mixed")
    assert b"<html" in (folder / "report.html").read_bytes()
    written = json.loads((folder / "summary.json").read_text())
    assert written["outcome"]["total"]["requests"] == result.outcome.total.requests
    entries = json.loads((folder / "requests.json").read_text())
    assert sum(entry["num_requests"] for entry in entries) == sum(rows.values())
    counted = {line["Name"]: int(line["Request Count"]) for line in table(folder / "requests.csv")}
    assert counted == {**rows, "Aggregated": sum(rows.values())}
    assert "run redis read" in {line["Name"] for line in table(folder / "history.csv")}


def test_wrong_answers_are_failures(generator: Process, front_end: str, tmp_path: Path) -> None:
    request = request_for(front_end, "stale", "alien", "other", "broken")
    result, folder = run(generator, request, scenarios=SCENARIOS, loads=tmp_path)
    assert result.failed
    assert failures(result) == {
        ("stale redis read", "Redis holds another value than the one that was written"),
        ("alien vm", "the VM saw 192.0.2.9, which is no connector instance"),
        ("other vm", "other answered instead of vm"),
        ("broken vm", "status 502: refused"),
    }
    assert ("alien vm", "192.0.2.9") in {(source.name, source.address) for source in result.outcome.sources}
    counted = sum(int(line["Occurrences"]) for line in table(folder / "failures.csv"))
    assert counted == result.outcome.total.failures


def test_a_front_end_that_is_not_there_is_a_failure(generator: Process, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{probe.getsockname()[1]}"
        request = request_for(closed, "run", scenario="vm_reads")
        result, _ = run(generator, request, scenarios=SCENARIOS, loads=tmp_path)
    assert failures(result) == {("run vm", "ConnectionRefusedError(111, 'Connection refused')")}


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_load_early_with_a_result(generator: Process, front_end: str, tmp_path: Path) -> None:
    presses = iter([press_ctrl_c])
    result, folder = run(
        generator,
        request_for(front_end, "run", scenario="redis_round_trips", duration=100),
        scenarios=SCENARIOS,
        loads=tmp_path,
        on_progress=lambda _: next(presses, lambda: None)(),
    )
    assert result.interrupted
    assert result.outcome.seconds < 60
    assert result.outcome.total.requests
    assert (folder / "report.html").exists()


def test_a_load_of_nothing_is_an_error(generator: Process, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="made no request"):
        run(generator, LoadRequest("mixed"), scenarios=SCENARIOS, loads=tmp_path / "loads")
    (log,) = (tmp_path / "loads").glob("*/locust.log")
    assert "--services names no service" in log.read_text()


def test_a_users_scenario_that_is_broken_is_an_error(generator: Process, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("nonsense")
    with pytest.raises(Unavailable, match="NameError"):
        run(generator, LoadRequest(str(own)), scenarios=SCENARIOS, loads=tmp_path / "loads")


@pytest.fixture
def free_ports() -> Iterator[tuple[int, int]]:
    """Ports that nobody else gets meanwhile; a server that may use an address again may listen there."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield one.getsockname()[1], other.getsockname()[1]


@pytest.mark.usefixtures("interruptible")
def test_the_web_page_is_served_until_ctrl_c(
    generator: Process, front_end: str, free_ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside_port, outside_port = free_ports
    monkeypatch.setattr(web, "WEB_PORT", inside_port)
    pages: list[str] = []

    def look(url: str) -> None:
        try:
            pages.append(requests.get(url, timeout=PATIENCE).text)
        finally:
            press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        web.serve(
            generator,
            request_for(front_end, "run"),
            scenarios=SCENARIOS,
            connect=lambda: socket.create_connection(("127.0.0.1", inside_port)),
            port=outside_port,
            on_ready=lambda url: threading.Thread(target=look, args=(url,)).start(),
        )
    assert "Locust" in pages[0]
    assert generator.process
    assert generator.process.returncode is not None


def test_a_web_page_that_does_not_come_up_is_an_error(generator: Process, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("nonsense")

    def connect() -> socket.socket:
        raise ConnectionRefusedError

    with pytest.raises(Unavailable, match="NameError"):
        web.serve(generator, LoadRequest(str(own)), scenarios=SCENARIOS, connect=connect, port=0)


def test_the_relay_passes_bytes_and_ends_both_ways() -> None:
    near, far = socket.socketpair()

    async def exchange() -> tuple[bytes, bytes]:
        async with web.relay_loopback(0, lambda: near) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            far_reader, far_writer = await asyncio.open_connection(sock=far)
            writer.write(b"question")
            writer.write_eof()
            question = await far_reader.read()
            far_writer.write(b"answer")
            far_writer.close()
            answer = await reader.read()
            writer.close()
            return question, answer

    assert asyncio.run(exchange()) == (b"question", b"answer")


def test_a_relay_to_nobody_ends_the_connection() -> None:
    def connect() -> socket.socket:
        raise ConnectionRefusedError

    async def read() -> bytes:
        async with web.relay_loopback(0, connect) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(read()) == b""


def test_a_port_that_is_taken_is_said_so() -> None:
    async def relay(port: int) -> None:
        async with web.relay_loopback(port, socket.socket):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(FailedPrecondition, match="in use"):
        asyncio.run(relay(taken.getsockname()[1]))
