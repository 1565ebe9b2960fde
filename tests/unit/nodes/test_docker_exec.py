"""The connection plugin of our playbooks, against an engine that answers as a test says."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader

from testbed.paths import PLAYBOOKS

Answer = tuple[int, bytes]


def said(value: object, status: int = 200) -> Answer:
    return status, json.dumps(value).encode()


def piece(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


ENDED = said({"Running": False, "ExitCode": 0})
MADE = said({"Id": "e1"}, 201)


class Engine:
    """Stands for Docker: answers requests in turn, and remembers them.

    The answer to a start has no length; the command's output follows it, once its input has ended.
    """

    def __init__(self, path: Path) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.input = b""
        self.input_first = True
        """Whether the command reads all its input before it says something."""
        self.silence = 0.0
        """Seconds before the command says something."""
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with closing(client), client.makefile("rb") as stream:
            while line := stream.readline():
                length = 0
                while header := stream.readline().strip():
                    name, _, value = header.partition(b": ")
                    length = int(value) if name.lower() == b"content-length" else length
                request = line.decode().rsplit(" ", 1)[0]
                self.requests.append((request, json.loads(stream.read(length) or b"{}")))
                if not self.answers:
                    client.recv(1)  # it never answers; the client gives up
                    return
                status, body = self.answers.pop(0)
                if request.endswith("/start") and status == 200:
                    self._run(client, body)
                    return
                client.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    def _run(self, client: socket.socket, output: bytes) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
        attached = self.requests[0][1]["AttachStdin"]
        threading.Event().wait(self.silence)
        if not self.input_first:
            client.sendall(output)
        while attached and (data := client.recv(65536)):
            self.input += data
        if self.input_first:
            client.sendall(output)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    made = Engine(path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def load() -> Callable[[], Any]:
    """Loads the plugin as Ansible does."""
    init_plugin_loader([])
    connection_loader.add_directory(str(PLAYBOOKS / "connection_plugins"))
    return lambda: connection_loader.get("docker_exec", PlayContext())


@pytest.fixture
def connection(load: Callable[[], Any], path: Path) -> Any:
    made = load()
    made.set_options(var_options={"ansible_host": "tb-demo-vm", "ansible_docker_host": f"unix://{path}"})
    return made


def test_a_command_has_its_status_and_both_streams(engine: Engine, connection: Any) -> None:
    output = piece(1, b"a") + piece(2, b"b") + piece(1, b"c")
    engine.answers = [MADE, (200, output), said({"Running": False, "ExitCode": 3})]
    assert connection.exec_command("id") == (3, b"ac", b"b")
    (create, made), (start, _), (inspect, _) = engine.requests
    assert (create, start, inspect) == ("POST /containers/tb-demo-vm/exec", "POST /exec/e1/start", "GET /exec/e1/json")
    assert made["Cmd"] == ["/bin/sh", "-c", "id"]
    assert made["AttachStdin"] is False
    assert made["User"] == ""


def test_a_command_is_given_its_input_and_the_end_of_it(engine: Engine, connection: Any) -> None:
    secret = b"secret " * 1000
    engine.answers = [MADE, (200, piece(1, b"done")), ENDED]
    assert connection.exec_command("cat >file", secret) == (0, b"done", b"")
    assert engine.input == secret
    assert not any(b"secret" in json.dumps(body).encode() for _, body in engine.requests)


def test_a_command_that_speaks_before_it_listens_does_not_hang(engine: Engine, connection: Any) -> None:
    data = b"x" * 4_000_000  # more than any buffer on the way holds
    engine.input_first = False
    engine.answers = [MADE, (200, piece(1, data)), ENDED]
    assert connection.exec_command("tee", data) == (0, data, b"")
    assert engine.input == data


def test_the_status_is_waited_for(engine: Engine, connection: Any) -> None:
    running = said({"Running": True, "ExitCode": None})
    engine.answers = [MADE, (200, b""), running, running, said({"Running": False, "ExitCode": 7})]
    assert connection.exec_command("exit 7")[0] == 7


def test_the_user_of_the_task_runs_it(engine: Engine, connection: Any, path: Path) -> None:
    engine.answers = [MADE, (200, b""), ENDED]
    variables = {"ansible_host": "vm", "ansible_docker_host": f"unix://{path}", "ansible_user": "nobody"}
    connection.set_options(var_options=variables)
    connection.exec_command("id")
    assert engine.requests[0][1]["User"] == "nobody"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([said({"message": "No such container: tb-demo-vm"}, 404)], "No such container: tb-demo-vm"),
        ([said({"message": "Container x is paused"}, 409)], "Container x is paused"),
        ([MADE, said({"message": "Container x is not running"}, 409)], "Container x is not running"),
        (
            [MADE, (200, piece(1, b"half")), said({"message": "No such exec instance: e1"}, 404)],
            "No such exec instance",
        ),
        ([(502, b"bad gateway\n")], "bad gateway"),
        ([(500, b"")], "nothing"),
    ],
)
def test_what_docker_refuses_is_told_with_the_container_s_name(
    engine: Engine, connection: Any, answers: list[Answer], message: str
) -> None:
    engine.answers = answers
    with pytest.raises(AnsibleConnectionFailure) as caught:
        connection.exec_command("true")
    assert caught.value.message.startswith("container tb-demo-vm: Docker says: ")
    assert message in caught.value.message


def test_an_engine_that_does_not_answer_is_given_up(engine: Engine, connection: Any, path: Path) -> None:
    variables = {"ansible_host": "vm", "ansible_docker_host": f"unix://{path}", "ansible_docker_timeout": 0.1}
    connection.set_options(var_options=variables)
    with pytest.raises(
        AnsibleConnectionFailure, match=r"container vm: the Docker Engine at .* does not answer: timed out"
    ):
        connection.exec_command("true")
    assert len(engine.requests) == 1


def test_a_command_may_be_silent_for_longer_than_docker(engine: Engine, connection: Any, path: Path) -> None:
    engine.silence = 1.5
    engine.answers = [MADE, (200, piece(1, b"at last")), ENDED]
    variables = {"ansible_host": "vm", "ansible_docker_host": f"unix://{path}", "ansible_docker_timeout": 1}
    connection.set_options(var_options=variables)
    assert connection.exec_command("sleep") == (0, b"at last", b"")


def test_no_engine_behind_the_socket(connection: Any, path: Path) -> None:
    with pytest.raises(
        AnsibleConnectionFailure, match=f"the Docker Engine at unix://{path} does not answer: .*No such file"
    ):
        connection.exec_command("true")


def test_an_engine_that_is_elsewhere_is_refused(connection: Any) -> None:
    connection.set_options(var_options={"ansible_host": "vm", "ansible_docker_host": "tcp://192.0.2.1:2375"})
    with pytest.raises(AnsibleConnectionFailure, match=r"tcp://192\.0\.2\.1:2375 is not a Unix socket of this host"):
        connection.exec_command("true")


def test_files_go_by_the_streams_of_commands(engine: Engine, connection: Any, tmp_path: Path) -> None:
    here, there = tmp_path / "here", "/tmp/it's there"  # noqa: S108  # in the container
    here.write_bytes(b"content")
    engine.answers = [MADE, (200, b""), ENDED]
    connection.put_file(str(here), there)
    assert engine.input == b"content"
    assert engine.requests[0][1]["Cmd"][-1] == """cat >'/tmp/it'"'"'s there'"""

    engine.requests.clear()
    engine.answers = [MADE, (200, piece(1, b"other")), ENDED]
    connection.fetch_file(there, str(here))
    assert here.read_bytes() == b"other"


def test_a_file_that_cannot_be_copied_is_named(engine: Engine, connection: Any, tmp_path: Path) -> None:
    engine.answers = [MADE, (200, piece(2, b"Permission denied\n")), said({"Running": False, "ExitCode": 1})]
    with pytest.raises(AnsibleError, match="container tb-demo-vm: /root/x: Permission denied"):
        connection.fetch_file("/root/x", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
    with pytest.raises(AnsibleFileNotFound):
        connection.put_file(str(tmp_path / "x"), "/tmp/x")  # noqa: S108  # in the container
