"""A control plane behind its real server, and the ways that Google's own client libraries reach it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from google.auth.credentials import AnonymousCredentials

from testbed.api import clients, server
from testbed.api.callers.identity import Identity
from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.control.lifecycle import duration
from testbed.json_object import Json
from testbed.paths import client_folder
from tests.api import harness
from tests.waiting import COMMAND, PATIENCE

PROJECT = harness.PROJECT
REGION = f"projects/{PROJECT}/locations/us-central1"

Connect = Callable[[Any], Any]
"""Makes a client of a class, which is closed when the test is over."""


@dataclass(frozen=True)
class Served:
    """A control plane, and where it is served."""

    control: harness.Control
    endpoint: clients.Endpoint

    def post(self, path: str, body: Json, **query: str) -> Json:
        """What a test needs to be there already."""
        answer = requests.post(f"{self.endpoint.url}/{path}", json=body, params=query, timeout=PATIENCE)
        answer.raise_for_status()
        value: Json = answer.json()
        return value

    def get(self, path: str) -> Json:
        answer = requests.get(f"{self.endpoint.url}/{path}", timeout=PATIENCE)
        answer.raise_for_status()
        value: Json = answer.json()
        return value

    def delete(self, path: str) -> None:
        requests.delete(f"{self.endpoint.url}/{path}", timeout=PATIENCE).raise_for_status()

    def network(self, name: str = "vpc") -> None:
        self.post(f"compute/v1/projects/{PROJECT}/global/networks", {"name": name, "autoCreateSubnetworks": False})

    def become(self, account: str) -> Path:
        """Write the key file of a service account, where `testbed env --proxy` says that it is."""
        file = self.endpoint.folder / clients.CREDENTIALS
        with SqliteKeys.open(self.control.store.folder / KEYS) as keys:
            key = Identity(keys).create_key(f"{account}@{PROJECT}.iam.gserviceaccount.com", PROJECT)
        file.write_text(json.dumps(key))
        return file

    def run(self, command: Sequence[str], told: Mapping[str, str]) -> str:
        """What a program prints that has only this environment."""
        environment = {**told, "PATH": os.environ["PATH"], "HOME": str(self.endpoint.folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=COMMAND)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def delay(self, method: str, seconds: float) -> None:
        """Let operations of a method take so long, and others in proportion."""
        self.control.store.operation_delay = seconds / duration(method)

    def connector(self, name: str, cidr: str) -> None:
        body = {"network": "vpc", "ipCidrRange": cidr, "minInstances": 2, "maxInstances": 3}
        self.post(f"v1/{REGION}/connectors", body, connectorId=name)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(tmp_path, monkeypatch) as made:
        yield made


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "t") -> Iterator[Served]:
    """A testbed of a name, which has to be the host's only one if there are namespaces of its."""
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(server, "_GRACE", 0.1)  # what an exception still refers to keeps its connection open
    with (
        harness.control(folder, monkeypatch, name=name) as control,
        server.Server(control.plane, control.images, port=0) as started,
    ):
        public = client_folder(control.store.name)
        yield Served(control, clients.Endpoint(started.port, public, PROJECT, "us-central1", "us-central1-a"))


@pytest.fixture
def proxied(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `testbed env --proxy` says, in this process: all of it but gRPC's, which is read once only."""
    for variable, value in clients.proxy(served.endpoint).items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def connect_rest(served: Served) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda made: stack.enter_context(
            made(
                transport="rest",
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": served.endpoint.url},
            )
        )


@pytest.fixture
def connect_proxied(request: pytest.FixtureRequest) -> Iterator[Connect]:
    request.getfixturevalue("proxied")
    with ExitStack() as stack:
        yield lambda made: stack.enter_context(made(transport="rest", credentials=AnonymousCredentials()))


@pytest.fixture
def connect_grpc(served: Served) -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect(made: Any) -> Any:
            channel = grpc.insecure_channel(f"127.0.0.1:{served.endpoint.port}")
            return stack.enter_context(made(transport=made.get_transport_class("grpc")(channel=channel)))

        yield connect


@pytest.fixture(params=["grpc", "rest", "proxied"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Each way, for tests that are the same by all of them."""
    made: Connect = request.getfixturevalue(f"connect_{request.param}")
    return made
