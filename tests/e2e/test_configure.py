"""The roles, on containers of the real images that have no network but their own loopback device."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest
from docker.models.containers import Container

from testbed.errors import Unavailable
from testbed.fabric.plan import Node
from testbed.nodes.configure import configure
from testbed.nodes.engine import connect
from testbed.nodes.images import Images
from testbed.nodes.playbook import Event, run_playbook
from tests.waiting import PATIENCE

SECRET = "an AUTH {{ lookup('pipe', 'id') }} \"string\" \\ 'with' $everything"
UPSTREAM = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"path": self.path, "version": self.request_version, **self.headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
WEB = Node(name="web", kind="vm", image="testbed/vm", role="web", variables={"name": "web", "port": 8000})
REDIS = Node(
    name="redis",
    kind="redis",
    image="testbed/redis",
    role="redis",
    variables={
        "auth_string": SECRET,
        "port": 6379,
        "encrypted": False,
        "maxmemory": 64 << 20,
        "settings": {"maxmemory-policy": "volatile-lru"},
        "bind": "127.0.0.1",
    },
)


def route(
    host: str, name: str, *upstreams: str, prefix: str = "/", refused: int | None = None, admitted: str = ""
) -> dict[str, object]:
    return {
        "host": host,
        "prefix": prefix,
        "name": name,
        "resource": f"projects/demo/services/{name}",
        "upstreams": upstreams,
        "refused": refused,
        "admitted": admitted.split(),
    }


def front_end(*routes: dict[str, object]) -> Node:
    """One to which this host may bring requests from inside networks."""
    variables = {"routes": routes, "inside_port": 81, "bringer": "127.0.0.1"}
    return Node(name="frontend", kind="frontend", image="testbed/frontend", role="frontend", variables=variables)


MARK = "127.0.0.1"
"""What stands for a network: of curl's PROXY header it is the destination."""
FRONTEND = front_end(
    route("relay-abc.a.run.app", "relay", "127.0.0.1:8080"),
    route("r-p.cloudfunctions.net", "hello", "127.0.0.1:8080", prefix="/hello/"),
    route("idle.a.run.app", "idle"),
    route("inner.a.run.app", "inner", "127.0.0.1:8080", refused=404, admitted=f"10.1.2.3 {MARK}"),
    route("alien.a.run.app", "alien", "127.0.0.1:8080", refused=404, admitted="10.1.2.3"),
    route("r-p.cloudfunctions.net", "first", "127.0.0.1:8080", prefix="/first/", refused=403, admitted=MARK),
)


class Nodes:
    """Containers for nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = connect()
        self.images = Images(self.client, lambda _: None)
        self.testbed = f"ct{secrets.token_hex(3)}"
        self.containers: dict[str, Container] = {}

    def name(self, node: str) -> str:
        return f"tb-{self.testbed}-{node}"

    def start(self, *nodes: Node) -> None:
        ids = self.images.ensure({node.image for node in nodes})
        for node in nodes:
            self.containers[node.name] = self.client.containers.run(
                ids[node.image],
                name=self.name(node.name),
                labels={"dev.testbed.name": self.testbed},
                network_mode="none",
                cap_drop=["ALL"],
                cap_add=list(node.capabilities),
                devices=[f"{device}:{device}:rwm" for device in node.devices],
                security_opt=["no-new-privileges"],
                init=True,
                detach=True,
            )
            self.containers[node.name].reload()

    def configure(self, *nodes: Node, unfinished: Collection[str] = ()) -> list[Event]:
        seen: list[Event] = []
        configure(self.folder, nodes, self.name, seen.append, unfinished=unfinished)
        return seen

    def run(self, node: str, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """What a command prints on a node."""
        _, output = self.containers[node].exec_run(list(command), environment=dict(environment or {}))
        assert isinstance(output, bytes)
        return output.decode().strip()

    def close(self) -> None:
        for container in self.containers.values():
            container.remove(force=True)
        self.client.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    try:
        yield made
    finally:
        made.close()


def becomes(ask: Callable[[], str], expected: str) -> None:
    """Wait until the answer contains what is expected."""
    deadline = time.monotonic() + PATIENCE
    while expected not in (answer := ask()):
        assert time.monotonic() < deadline, f"{expected!r} is not in {answer!r}"
        time.sleep(0.05)


def tasks(events: list[Event]) -> list[tuple[str, str]]:
    """What was done, for each node."""
    return sorted((event.node, event.task) for event in events if event.status in ("ok", "changed"))


def get(nodes: Nodes, host: str, path: str, *options: str) -> str:
    url = f"http://127.0.0.1{path}"
    return nodes.run("frontend", "curl", "-s", "-H", f"Host: {host}", "-w", " %{http_code}", *options, url)


def test_web_says_who_it_is_and_whom_it_saw(nodes: Nodes) -> None:
    nodes.start(WEB)
    nodes.configure(WEB)
    becomes(lambda: nodes.run("web", "curl", "-s", "http://127.0.0.1:8000/"), '"web"')
    answer = json.loads(nodes.run("web", "curl", "-s", "http://127.0.0.1:8000/"))
    assert (answer["node"], answer["client"]) == ("web", "127.0.0.1")


def test_redis_asks_for_its_auth_string_and_nobody_else_can_read_it(nodes: Nodes) -> None:
    nodes.start(REDIS)
    nodes.configure(REDIS)
    becomes(lambda: nodes.run("redis", "redis-cli", "PING"), "NOAUTH")
    assert nodes.run("redis", "redis-cli", "PING", environment={"REDISCLI_AUTH": "wrong"}) != "PONG"
    assert nodes.run("redis", "redis-cli", "PING", environment={"REDISCLI_AUTH": SECRET}).endswith("PONG")
    assert nodes.run("redis", "stat", "-c", "%a %U", "/etc/redis/testbed.conf") == "600 testbed"
    assert nodes.run("redis", "ls", "/etc/redis") == "testbed.conf"


def test_the_front_end_finds_services_by_host_and_path(nodes: Nodes) -> None:
    nodes.start(FRONTEND)
    nodes.containers["frontend"].exec_run(["python3", "-c", UPSTREAM], detach=True)
    nodes.configure(FRONTEND)
    becomes(lambda: get(nodes, "relay-abc.a.run.app", "/a%20b?x=1"), '"path": "/a%20b?x=1"')

    seen = json.loads(
        get(nodes, "relay-abc.a.run.app", "/", "-H", "X-Cloud-Trace-Context: 1/2;o=1").removesuffix(" 200")
    )
    assert seen["Host"] == "relay-abc.a.run.app"
    assert seen["X-Forwarded-For"] == "127.0.0.1"
    assert seen["X-Forwarded-Proto"] == "http"
    assert seen["X-Cloud-Trace-Context"] == "1/2;o=1"
    assert seen["version"] == "HTTP/1.1"

    function = "r-p.cloudfunctions.net"
    assert '"path": "/"' in get(nodes, function, "/hello")
    assert '"path": "/?x=1"' in get(nodes, function, "/hello?x=1")
    assert '"path": "/a/b?x=1"' in get(nodes, function, "/hello/a/b?x=1")
    assert get(nodes, function, "/other").endswith(" 404")
    assert get(nodes, "idle.a.run.app", "/").endswith(" 503")
    unknown = get(nodes, "unknown.a.run.app", "/")
    assert "Error: Page not found" in unknown
    assert unknown.endswith(" 404")


@pytest.mark.behaviour("3.3.5")
def test_the_front_end_tells_a_network_from_the_internet(nodes: Nodes) -> None:
    nodes.start(FRONTEND)
    nodes.containers["frontend"].exec_run(["python3", "-c", UPSTREAM], detach=True)
    nodes.configure(FRONTEND)
    becomes(lambda: get(nodes, "relay-abc.a.run.app", "/"), '"path": "/"')

    function = "r-p.cloudfunctions.net"
    for host, path, status, text in (
        ("inner.a.run.app", "/a", 404, "Error: Page not found"),
        (function, "/first/a", 403, "Access is forbidden."),
        (function, "/first", 403, "Access is forbidden."),
    ):
        refused = get(nodes, host, path)
        assert text in refused
        assert refused.endswith(f" {status}")
        assert '"path": "/' in inside(nodes, host, path)
    assert inside(nodes, "alien.a.run.app", "/").endswith(" 404")
    for host in ("relay-abc.a.run.app", "inner.a.run.app"):  # the port alone does not make it one from inside
        assert "200" not in get(nodes, host, "/", "--connect-to", "::127.0.0.1:81")


def inside(nodes: Nodes, host: str, path: str) -> str:
    return get(nodes, host, path, "--haproxy-protocol", "--connect-to", "::127.0.0.1:81")


def test_configuring_again_changes_nothing_and_a_new_value_reaches_only_its_node(nodes: Nodes) -> None:
    nodes.start(WEB, REDIS)
    assert tasks(nodes.configure(WEB, REDIS)) == [
        ("redis", "Restart the server"),
        ("redis", "Write the configuration"),
        ("web", "Reload the web server"),
        ("web", "Write the site"),
    ]
    unchanged = [("redis", "Write the configuration"), ("web", "Write the site")]
    assert tasks(nodes.configure(WEB, REDIS)) == unchanged
    moved = Node(name="web", kind="vm", image=WEB.image, role="web", variables={"name": "web", "port": 8001})
    assert tasks(nodes.configure(moved, REDIS)) == sorted([*unchanged, ("web", "Reload the web server")])
    becomes(lambda: nodes.run("web", "curl", "-s", "http://127.0.0.1:8001/"), '"web"')
    # A run that was killed may have written the file without telling the server.
    again = tasks(nodes.configure(moved, REDIS, unfinished={"web"}))
    assert again == sorted([*unchanged, ("web", "Reload the web server")])


def test_a_node_without_a_container_is_named(nodes: Nodes) -> None:
    with pytest.raises(Unavailable, match=r"node redis: task 'redis : Write the configuration' unreachable: .*redis"):
        nodes.configure(REDIS)


def test_a_command_that_does_not_end_is_given_up(nodes: Nodes, tmp_path: Path) -> None:
    nodes.start(WEB)
    nodes.configure(WEB)
    with pytest.raises(Unavailable, match=r"node web: task 'hang' failed: .*[Tt]imed out after 1 second"):
        by_hand(nodes, tmp_path, "{name: hang, raw: sleep infinity, timeout: 1}")


def test_a_playbook_of_one_s_own_reaches_the_nodes(nodes: Nodes, tmp_path: Path) -> None:
    """Ansible's own modules, which need files to be brought into the node and out of it."""
    nodes.start(WEB)
    nodes.configure(WEB)
    (tmp_path / "note").write_text("it's here\n")
    by_hand(
        nodes,
        tmp_path,
        f"{{copy: {{src: {tmp_path}/note, dest: /tmp/note, mode: '0640'}}}}",
        f"{{fetch: {{src: /tmp/note, dest: {tmp_path}/fetched, flat: true}}}}",
    )
    assert (tmp_path / "fetched").read_text() == "it's here\n"
    assert nodes.run("web", "stat", "-c", "%a %U", "/tmp/note") == "640 testbed"  # noqa: S108  # in the node


def by_hand(nodes: Nodes, folder: Path, *tasks: str) -> None:
    """Run tasks on all nodes, with the inventory that was left."""
    playbook = folder / "own.yml"
    playbook.write_text(f"- {{hosts: all, gather_facts: false, tasks: [{', '.join(tasks)}]}}")
    run_playbook(playbook, lambda _: None, inventory=nodes.folder / "ansible" / "inventory.yml")


def test_a_configuration_that_its_server_refuses_is_told_with_the_server_s_words(nodes: Nodes) -> None:
    broken = front_end(route("a", "a", "no such address"))
    nodes.start(broken)
    with pytest.raises(Unavailable, match=r"node frontend: .*Reload the front end' failed: (.|\n)*invalid parameter"):
        nodes.configure(broken)


def test_a_secret_is_in_the_inventory_and_the_node_and_nowhere_else(nodes: Nodes) -> None:
    nodes.start(REDIS)
    words = (b"an AUTH", b"$everything")
    places: set[str] = set()

    def look(_event: Event) -> None:
        files = [path for path in nodes.folder.rglob("*") if path.is_file()]
        commands = list(Path("/proc").glob("[0-9]*/cmdline"))
        environments = list(Path("/proc").glob("[0-9]*/environ"))
        for path in [*files, *commands, *environments]:
            try:
                content = path.read_bytes()
            except OSError:  # it is gone already, or is not to be read even by root
                continue
            if any(word in content for word in words):
                places.add(str(path))

    configure(nodes.folder, [REDIS], nodes.name, look)
    inventory = nodes.folder / "ansible" / "inventory.yml"
    assert places == {str(inventory)}
    assert [path for path in nodes.folder.rglob("*") if path.is_file()] == [inventory]
    assert not any(word in nodes.containers["redis"].logs() for word in words)
