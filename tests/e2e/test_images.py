"""The built-in images: that they build, what runs in them, and that nothing in them lends rights."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed.fabric.plan import Node
from testbed.nodes.engine import connect
from testbed.nodes.images import Images
from testbed.nodes.making import Making
from testbed.paths import IMAGES
from tests.e2e.nodes import Testbed, testbed
from tests.waiting import eventually

BUILT_IN = sorted(f"testbed/{path.parent.name}" for path in IMAGES.glob("*/Dockerfile"))
GATEWAY = Node(
    name="gateway",
    kind="vpn",
    image="testbed/vpn",
    capabilities=("NET_ADMIN", "NET_BIND_SERVICE"),
    devices=("/dev/net/tun",),
)
APP = """
import flask
app = flask.Flask(__name__)

@app.get("/")
def index():
    return "served"
"""
FUNCTION = """
def hello(request):
    return "called"
"""


@pytest.fixture(scope="module", autouse=True)
def ids() -> dict[str, str]:
    client = connect()
    found = Images(client, lambda *_: None).ensure(BUILT_IN)
    client.close()
    return found


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with testbed() as made:
        yield made


def answers(bed: Testbed, node: str, url: str) -> str:
    """What a web server says once it is up."""
    curl = ("curl", "--silent", "--show-error", "--max-time", "5", url)
    eventually(lambda: bed.execute(node, *curl).status == 0, f"{node} does not serve {url}")
    return bed.run(node, *curl)


def test_all_images_are_there() -> None:
    names = "base runtime connector vm redis vpn frontend load"
    assert {f"testbed/{name}" for name in names.split()} <= set(BUILT_IN)


def test_a_second_time_nothing_is_built(ids: dict[str, str]) -> None:
    said: list[Making] = []
    client = connect()
    assert Images(client, said.append).ensure(BUILT_IN) == ids
    client.close()
    assert not said


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    name = f"hx-{secrets.token_hex(4)}"
    for folder in ("base", name):
        (tmp_path / folder).mkdir()
    for path in (IMAGES / "base").iterdir():
        (tmp_path / "base" / path.name).write_bytes(path.read_bytes())
    (tmp_path / name / "Dockerfile").write_text("ARG BASE=testbed/base\nFROM ${BASE}\nCMD true\n")
    said: list[Making] = []
    clients = [connect(), connect()]
    makers = [Images(client, said.append, folder=tmp_path) for client in clients]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda maker: maker.ensure([f"testbed/{name}"]), makers)
    clients[0].images.remove(makers[0].reference(f"testbed/{name}"))
    for client in clients:
        client.close()
    assert one == two
    assert [now.news for now in said if now.news and now.news.startswith(name)] == [f"{name}: done (1 of 1)"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_program_lends_rights(name: str, ids: dict[str, str]) -> None:
    client = connect()
    script = "find / -xdev -type f -perm /6000; getcap -r / 2>/dev/null"
    found = client.containers.run(ids[name], ["sh", "-c", script], user="root", network_mode="none", remove=True)
    client.close()
    assert found == b""


def test_a_connector_instance_answers_health_checks(bed: Testbed) -> None:
    bed.start(Node(name="instance", kind="connector-instance", image="testbed/connector"))
    assert answers(bed, "instance", "http://127.0.0.1:667/") == "ok"
    assert "404" in bed.run("instance", "curl", "-sI", "http://127.0.0.1:667/other")


def test_a_client_that_says_nothing_does_not_stop_health_checks(bed: Testbed) -> None:
    bed.start(Node(name="instance", kind="connector-instance", image="testbed/connector"))
    answers(bed, "instance", "http://127.0.0.1:667/")
    script = """
import socket, urllib.request
idle = [socket.create_connection(("127.0.0.1", 667)) for _ in range(50)]
print(urllib.request.urlopen("http://127.0.0.1:667/").read().decode())
"""
    assert bed.run("instance", "python3", "-c", script) == "ok\n"


def test_a_vm_says_who_it_is_and_whom_it_sees(bed: Testbed) -> None:
    bed.start(Node(name="web-1", kind="vm", image="testbed/vm"))
    assert json.loads(answers(bed, "web-1", "http://127.0.0.1/any/path")) == {"node": "web-1", "client": "127.0.0.1"}
    eventually(lambda: b"GET /any/path" in b"".join(bed.nodes.logs("web-1")), "the access is not logged")


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", "SOCK_STREAM"), ("udp", "SOCK_DGRAM")])
def test_a_vm_tells_callers_the_address_it_sees(bed: Testbed, protocol: str, kind: str) -> None:
    bed.start(Node(name="web", kind="vm", image="testbed/vm"))
    script = f"""
import socket
with socket.socket(socket.AF_INET, socket.{kind}) as caller:
    caller.settimeout(2)
    caller.bind(("127.0.0.77", 0))
    caller.connect(("127.0.0.1", 7))
    for _ in range(2):
        caller.send(b"?\\n")
        assert caller.recv(100).decode() == "%s %d\\n" % caller.getsockname()
"""
    eventually(lambda: bed.execute("web", "python3", "-c", script).status == 0, "no echo")
    eventually(lambda: f"{protocol} 127.0.0.77 ".encode() in b"".join(bed.nodes.logs("web")), "the call is not logged")


def test_redis_waits_for_its_configuration(bed: Testbed) -> None:
    bed.start(Node(name="redis", kind="redis", image="testbed/redis"))
    eventually(
        lambda: b"waiting for /etc/redis/testbed.conf" in b"".join(bed.nodes.logs("redis")), "redis does not wait"
    )
    assert b"refused" in bed.execute("redis", "redis-cli", "ping").stderr
    bed.nodes.put_file("redis", "/etc/redis", "testbed.conf", b"requirepass sesame\n")
    eventually(lambda: b"NOAUTH" in bed.execute("redis", "redis-cli", "ping").stdout, "no AUTH")
    assert bed.run("redis", "redis-cli", "-a", "sesame", "--no-auth-warning", "ping") == "PONG\n"


def test_a_front_end_without_services_says_so(bed: Testbed) -> None:
    bed.start(Node(name="frontend", kind="frontend", image="testbed/frontend"))
    assert answers(bed, "frontend", "http://127.0.0.1/") == "This front end has no services.\n"


def test_a_gateway_runs_an_ike_daemon(bed: Testbed) -> None:
    bed.start(GATEWAY)
    eventually(lambda: bed.execute("gateway", "swanctl", "--stats").status == 0, "the daemon does not answer")
    said = b"".join(bed.nodes.logs("gateway"))
    assert b"ESP: in " in said
    assert b"failed to load" not in said
    # the only nodes that have a capability have these two
    assert "CapEff:\t0000000000001400" in bed.run("gateway", "cat", "/proc/1/status")


def test_an_app_and_a_function_are_served(bed: Testbed, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP + FUNCTION)
    function = ("functions-framework", "--target=hello")
    bed.start(
        Node(name="app", kind="cloud-run", image="testbed/runtime", source=str(tmp_path), environment={"PORT": "80"}),
        Node(name="function", kind="function", image="testbed/runtime", source=str(tmp_path), command=function),
    )
    assert answers(bed, "function", "http://127.0.0.1:8080/") == "called"
    assert "8080" in bed.run("function", "sh", "-c", "echo $PORT")
    assert answers(bed, "app", "http://127.0.0.1/") == "served"


def test_the_load_generator_has_locust(bed: Testbed) -> None:
    bed.start(Node(name="load", kind="load", image="testbed/load", command=("sleep", "infinity")))
    assert bed.run("load", "locust", "--version").startswith("locust ")
    assert bed.run("load", "sh", "-c", "id -un; pwd; touch report.html") == "testbed\n/workspace\n"
