from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from testbed.nodes.packages import requirements
from tests.waiting import PATIENCE

RELAY = Path(__file__).parents[2] / "examples" / "relay"


class Page(BaseHTTPRequestHandler):
    """The web server of a VM: says whom it saw."""

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.server.silence.wait(PATIENCE)  # type: ignore[attr-defined]
            return
        text = b"plain" if self.path == "/plain" else json.dumps({"client": self.client_address[0]}).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline():
            self.wfile.write(f"{self.client_address[0]} {self.client_address[1]}\n".encode())


class DatagramEcho(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request[1].sendto(f"{self.client_address[0]} {self.client_address[1]}\n".encode(), self.client_address)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index,misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def page() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.silence = threading.Event()  # type: ignore[attr-defined]
    with serving(server) as port:
        yield f"http://127.0.0.1:{port}"
        server.silence.set()  # type: ignore[attr-defined]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and refuses everybody by TCP and UDP."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))  # it does not listen
        address = tcp.getsockname()
        udp.bind(address)
        udp.connect(address)  # for its own packets only
        yield int(address[1])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("K_SERVICE", "K_REVISION", "GAE_SERVICE", "GAE_VERSION", "FUNCTION_NAME", "VM_URL", "REDIS_HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("K_SERVICE", "shop")


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(RELAY)
    module = __import__("main")
    yield module
    module.pooled.clear()
    for name in ("main", "parameters"):
        del sys.modules[name]


def get(relay: ModuleType, path: str, /, **query: str | float) -> tuple[int, Any]:
    answer = relay.app.test_client().get(path, query_string=query)
    return answer.status_code, answer.get_json()


def test_says_which_deployment_it_is(relay: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_REVISION", "shop-00001-abc")
    expected = {"service": "shop", "revision": "shop-00001-abc", "hostname": socket.gethostname()}
    assert get(relay, "/") == (200, expected)


def test_knows_an_app_engine_service(relay: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("K_SERVICE")
    monkeypatch.setenv("GAE_SERVICE", "default")
    monkeypatch.setenv("GAE_VERSION", "v1")
    status, answer = get(relay, "/")
    assert (status, answer["service"], answer["revision"]) == (200, "default", "v1")


def test_fetches_json_and_text(relay: ModuleType, page: str) -> None:
    status, answer = get(relay, "/http", url=f"{page}/")
    assert (status, answer["status"], answer["body"]) == (200, 200, {"client": "127.0.0.1"})
    assert 0 < answer["seconds"] < 5
    assert get(relay, "/http", url=f"{page}/plain")[1]["body"] == "plain"


def test_an_upstreams_own_error_is_an_answer(relay: ModuleType, page: str) -> None:
    status, answer = get(relay, "/http", url=f"{page}/missing")
    assert (status, answer["status"]) == (200, 404)


def test_vm_is_fetched_from_its_url(relay: ModuleType, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VM_URL", f"{page}/")
    assert get(relay, "/vm", path="plain")[1]["body"] == "plain"
    assert get(relay, "/vm", fresh=1)[1]["body"] == {"client": "127.0.0.1"}


@pytest.mark.parametrize("path", ["/vm", "/redis?key=a"])
def test_a_setting_that_is_missing_is_named(relay: ModuleType, path: str) -> None:
    answer = relay.app.test_client().get(path)
    assert answer.status_code == 404
    assert "in its environment" in answer.get_json()["error"]["message"]


def test_refused_is_502(relay: ModuleType, closed_port: int) -> None:
    for path, query in (
        ("/http", {"url": f"http://127.0.0.1:{closed_port}/"}),
        ("/tcp", {"host": "127.0.0.1", "port": closed_port}),
        ("/udp", {"host": "127.0.0.1", "port": closed_port}),
    ):
        status, answer = get(relay, path, **query)
        assert (status, answer["error"]["status"]) == (502, 502), path
        assert "refused" in answer["error"]["message"], path


def test_no_answer_in_time_is_504(relay: ModuleType, page: str) -> None:
    assert get(relay, "/http", url=f"{page}/silent", timeout=0.2)[0] == 504
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        assert get(relay, "/tcp", host="127.0.0.1", port=port, line="x", timeout=0.2)[0] == 504
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        status, answer = get(relay, "/udp", host="127.0.0.1", port=mute.getsockname()[1], timeout=0.2)
        assert (status, answer["error"]["status"]) == (504, 504)


def test_tcp_returns_the_answer_and_the_local_address(relay: ModuleType) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)) as port:
        status, answer = get(relay, "/tcp", host="127.0.0.1", port=port, line="hello")
        assert status == 200
        assert answer == {"local": answer["local"], "answers": [answer["local"].replace(":", " ")]}
        assert get(relay, "/tcp", host="127.0.0.1", port=port)[1]["answers"] == []


def test_a_held_connection_is_asked_twice(relay: ModuleType) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)) as port:
        _, answer = get(relay, "/tcp", host="127.0.0.1", port=port, line="hello", hold=0.05)
    assert answer["answers"] == [answer["local"].replace(":", " ")] * 2


def test_udp_returns_the_answer(relay: ModuleType) -> None:
    with serving(socketserver.ThreadingUDPServer(("127.0.0.1", 0), DatagramEcho)) as port:
        status, answer = get(relay, "/udp", host="127.0.0.1", port=port)
    assert (status, answer["answer"]) == (200, answer["local"].replace(":", " "))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/http", {}),
        ("/http", {"url": "file:///etc/passwd"}),
        ("/http", {"url": "http://127.0.0.1/", "timeout": 31}),
        ("/tcp", {"host": "127.0.0.1"}),
        ("/tcp", {"host": "127.0.0.1", "port": 65536}),
        ("/tcp", {"host": "127.0.0.1", "port": 80, "hold": "nan"}),
        ("/udp", {"port": 7}),
        ("/ping", {"host": "-f"}),
        ("/ping", {"host": "localhost;id"}),
        ("/redis", {}),
    ],
)
def test_a_wrong_argument_is_400(relay: ModuleType, path: str, query: dict[str, str | float]) -> None:
    status, answer = get(relay, path, **query)
    assert (status, answer["error"]["status"]) == (400, 400)


def test_an_unknown_path_is_404_as_json(relay: ModuleType) -> None:
    assert get(relay, "/nothing")[1]["error"]["status"] == 404


@pytest.mark.parametrize(("code", "alive"), [(0, True), (1, False)])
def test_ping_runs_ping(
    relay: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, alive: bool
) -> None:
    ping = tmp_path / "ping"
    ping.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    ping.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert get(relay, "/ping", host="192.0.2.1") == (200, {"alive": alive, "output": "-c1 -W1 192.0.2.1\n"})


def test_the_runtime_image_has_what_it_needs() -> None:
    assert requirements.wanted(RELAY) is None


@pytest.mark.usefixtures("relay")
def test_the_function_is_the_same_application(page: str) -> None:
    framework = pytest.importorskip("functions_framework")
    client = framework.create_app(target="relay", source=str(RELAY / "main.py")).test_client()
    assert client.get("/").get_json()["service"] == "shop"
    assert client.get("/http", query_string={"url": f"{page}/plain"}).get_json()["body"] == "plain"
    assert client.get("/nothing").status_code == 404


def test_redis_that_is_not_there_is_502(relay: ModuleType, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", f"{closed_port}")
    assert get(relay, "/redis", key="k")[0] == 502
