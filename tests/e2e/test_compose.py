"""compose.yaml: the example from containers alone, without Python on the host."""

from __future__ import annotations

import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from testbed.kernel import namespace
from testbed.nodes import debian, wheels
from testbed.nodes.engine import connect
from testbed.nodes.images import Images
from testbed.nodes.stop import Stop
from testbed.paths import IMAGES, PROJECT
from tests.e2e.program import Program
from tests.e2e.small import traces
from tests.waiting import COMMAND, eventually

WHEELS = PROJECT / "build" / "wheels"


@dataclass
class Composed(Program):
    """The program as people without Python have it."""

    compose: tuple[str, ...] = ()

    def executed(self, arguments: Sequence[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        command = [*self.compose, "run", "-T", "--rm", "testbed", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=COMMAND, check=False, env=self.variables()
        )


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return f"compose-{secrets.token_hex(2)}"


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(PROJECT / "compose.yaml")


@pytest.fixture(scope="session")
def variables(docker_compose_project_name: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What compose.yaml leaves open."""
    folder = tmp_path_factory.mktemp("compose")
    for name in ("state", "tmp"):
        (folder / name).mkdir()
    return {
        "TESTBED_NAME": docker_compose_project_name,
        "TESTBED_STATE": str(folder / "state"),
        "TESTBED_BASE": debian.NAME,
        "TMPDIR": str(folder / "tmp"),
    }


@pytest.fixture(scope="session")
def docker_compose_command(variables: dict[str, str]) -> str:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode != 0 and shutil.which("docker-compose") is None:
        pytest.skip("there is neither `docker compose` nor docker-compose")
    compose = ["docker-compose"] if plugin.returncode != 0 else ["docker", "compose"]
    return shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *compose])


@pytest.fixture(scope="session")
def docker_setup() -> str:
    """Everything that a build would get from a registry or a package index is there beforehand."""
    client = connect()
    built_in = [f"testbed/{path.parent.name}" for path in IMAGES.glob("*/Dockerfile")]
    Images(client, lambda *_: None).ensure(built_in)
    _ensure_base(client)
    client.close()
    wheels.download(IMAGES / "testbed.requirements.txt", WHEELS, Stop())
    _share_namespaces()
    return "up --build --detach"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    return "down --timeout 5"


def _ensure_base(client: docker.DockerClient) -> None:
    try:
        client.images.get(debian.NAME)
    except ImageNotFound:
        debian.make(client, lambda _: None, Stop())


def _share_namespaces() -> None:
    """Where / is not a shared mount (systemd makes it one), /run/netns is one only once ip(8) has made a namespace."""
    name = f"tb-compose-{secrets.token_hex(2)}"
    namespace.create(name)
    namespace.delete(name)


@pytest.fixture
def composed(
    docker_compose_command: str,
    docker_compose_file: str,
    docker_compose_project_name: str,
    variables: dict[str, str],
) -> Iterator[Composed]:
    name, state = docker_compose_project_name, Path(variables["TESTBED_STATE"])
    compose = (*shlex.split(docker_compose_command), "-f", docker_compose_file, "-p", name)
    made = Composed(name, state.parent, state, variables, compose)
    try:
        yield made
    finally:
        made.down()


def controller(composed: Composed) -> int:
    """The process id of the service `controller`; 0 while it does not run."""
    service = ("com.docker.compose.service=controller", f"com.docker.compose.project={composed.name}")
    client = connect()
    (found,) = client.containers.list(all=True, filters={"label": list(service)})
    client.close()
    return int(found.attrs["State"]["Pid"])


@pytest.mark.usefixtures("docker_services")
def test_the_example_runs_from_containers(composed: Composed) -> None:
    composed.run("up")

    first = controller(composed)
    eventually(lambda: composed.json("status")["controller"] == first, "the service `controller` watches over it")
    assert composed.invoke("hello-run", "/vm")["body"]["client"].startswith("10.8.0.")
    assert composed.run("exec", "vm-us", "--", "cat", stdin="through").stdout == "through"

    composed.run("down")
    assert not [trace for trace in traces(composed) if not trace.startswith("process")]
    eventually(lambda: controller(composed) not in (0, first), "the service `controller` waits for the next one")
    assert not (composed.state / composed.name).exists()
