"""Instances that the API makes are nodes: what it says of them is what their packets meet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from testbed.control.state.store import Store
from tests.e2e.program import Program
from tests.e2e.small import containers, file, program
from tests.waiting import PATIENCE, QUIET

PROJECT = "compute/v1/projects/small"
ZONE = f"{PROJECT}/zones/us-central1-a"


class Server:
    """The control plane of a testbed without any resources."""

    def __init__(self, bed: Program, port: int) -> None:
        self.bed = bed
        self.port = port

    def call(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(verb, f"/{path}", None if body is None else json.dumps(body))
            answer = connection.getresponse()
            result: dict[str, Any] = json.load(answer)
        finally:
            connection.close()
        assert answer.status == 200, result
        return result

    def do(self, verb: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Make a change, and wait until it is made."""
        done = self.call(verb, path, body or {})
        link = done["selfLink"].removeprefix("https://www.googleapis.com/")
        while done["status"] != "DONE":  # each call waits for as long as Google's does
            done = self.call("POST", f"{link}/wait", {})
        assert "error" not in done, done

    def reaches(self, name: str, address: str, *, within: float = PATIENCE) -> bool:
        """Whether a node gets an answer from another's web server."""
        command = ["curl", "-s", "-m", str(within), "-o", "/dev/null", f"http://{address}/"]
        return self.bed.execute(name, *command, check=False).returncode == 0


@contextmanager
def served(folder: Path, prefix: str, **subnet: Any) -> Iterator[Server]:
    """A testbed with a network and a subnet, which may have more fields."""
    with program(folder, prefix) as bed, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TESTBED_STATE", str(bed.state))
        bed.run("up", file(bed, {"name": bed.name, "project": "small"}))
        with Store.open(bed.name) as store:
            port = store.port
        made = Server(bed, port)
        made.do("POST", f"{PROJECT}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
        body = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24", **subnet}
        made.do("POST", f"{PROJECT}/regions/us-central1/subnetworks", body)
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("instances"), "vms") as made:
        for name in ("client", "web"):
            made.do(
                "POST",
                f"{ZONE}/instances",
                {
                    "name": name,
                    "machineType": "zones/us-central1-a/machineTypes/e2-micro",
                    "tags": {"items": [name]},
                    "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/us"}],
                    "disks": [
                        {
                            "boot": True,
                            "autoDelete": True,
                            "initializeParams": {
                                "sourceImage": "projects/debian-cloud/global/images/family/debian-12",
                            },
                        }
                    ],
                },
            )
        yield made


def address(server: Server, name: str) -> str:
    return str(server.call("GET", f"{ZONE}/instances/{name}")["networkInterfaces"][0]["networkIP"])


def first_process(server: Server, name: str) -> str:
    shown = containers(server.bed.name)[f"tb-{server.bed.name}-{name}"]
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", shown]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_one_reaches_another_when_a_rule_lets_it(server: Server) -> None:
    web = address(server, "web")
    assert not server.reaches("client", web, within=QUIET)
    server.do(
        "POST",
        f"{PROJECT}/global/firewalls",
        {
            "name": "allow-web",
            "network": "global/networks/vpc",
            "targetTags": ["web"],
            "sourceTags": ["client"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}],
        },
    )
    assert server.reaches("client", web)
    tags = server.call("GET", f"{ZONE}/instances/web")["tags"]
    server.do("POST", f"{ZONE}/instances/web/setTags", {"items": [], "fingerprint": tags["fingerprint"]})
    assert not server.reaches("client", web, within=QUIET)
    tags = server.call("GET", f"{ZONE}/instances/web")["tags"]
    server.do("POST", f"{ZONE}/instances/web/setTags", {"items": ["web"], "fingerprint": tags["fingerprint"]})
    assert server.reaches("client", web)


def test_stopped_it_is_gone_and_started_it_is_where_it_was(server: Server) -> None:
    web = address(server, "web")
    server.do("POST", f"{ZONE}/instances/web/stop")
    assert f"tb-{server.bed.name}-web" not in containers(server.bed.name)
    assert not server.reaches("client", web, within=QUIET)
    server.do("POST", f"{ZONE}/instances/web/start")
    assert address(server, "web") == web
    assert server.reaches("client", web)


def test_reset_makes_its_processes_new(server: Server) -> None:
    web, before = address(server, "web"), first_process(server, "web")
    server.do("POST", f"{ZONE}/instances/web/reset")
    assert first_process(server, "web") != before
    assert server.reaches("client", web)
