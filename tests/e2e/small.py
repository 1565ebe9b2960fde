"""A testbed of six nodes, for tests that start and stop many; and everything of a testbed that a host may show."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from testbed.kernel import namespace
from testbed.paths import EXAMPLES
from tests.e2e.program import Program


@contextmanager
def program(folder: Path, prefix: str) -> Iterator[Program]:
    """A program with folders of its own for its state and its temporary files; its testbed is taken down at the end."""
    name = f"{prefix}-{secrets.token_hex(2)}"
    temporary = folder / f"{name}-tmp"
    temporary.mkdir()
    made = Program(name, folder, folder / "state", {"TMPDIR": str(temporary)})
    try:
        yield made
    finally:
        made.down()


def file(program: Program, topology: dict[str, Any], name: str = "small") -> str:
    """A topology file."""
    path = program.folder / f"{program.name}-{name}.yaml"
    path.write_text(yaml.safe_dump(topology, sort_keys=False))
    return str(path)


def start(program: Program, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, and do not wait for it."""
    return subprocess.Popen(
        program.command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=program.variables(),
        start_new_session=True,
    )


def small(name: str, instances: int = 2) -> dict[str, Any]:
    """A service, a connector with so many instances, a VM."""
    place = {"region": "us-central1", "zone": "us-central1-a"}
    nic = {"subnetwork": "us", "networkIP": "10.128.0.2"}
    vm_url = {"name": "VM_URL", "value": "http://10.128.0.2/"}
    return {
        "name": name,
        "project": "small",
        **place,
        "compute": {
            "networks": [{"name": "vpc"}],
            "subnetworks": [{"name": "us", "network": "vpc", "ipCidrRange": "10.128.0.0/20"}],
            "instances": [{"name": "vm", "networkInterfaces": [nic]}],
        },
        "vpcaccess": {
            "connectors": [{"name": "c1", "network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": instances}]
        },
        "run": {
            "services": [
                {
                    "name": "relay",
                    "buildConfig": {"sourceLocation": str(EXAMPLES / "relay")},
                    "template": {"containers": [{"env": [vm_url]}], "vpcAccess": {"connector": "c1"}},
                }
            ]
        },
    }


def containers(name: str) -> dict[str, str]:
    """The containers of a testbed: name and id."""
    command = ["docker", "ps", "-a", "--no-trunc", "--filter", f"label=dev.testbed.name={name}"]
    listed = subprocess.run([*command, "--format", "{{.Names}} {{.ID}}"], capture_output=True, text=True, check=True)
    return dict(line.split() for line in listed.stdout.splitlines())


def traces(program: Program) -> list[str]:
    """What is on the host of a testbed; the reports of load tests do not count."""
    prefix = f"tb-{program.name}-"
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [
        *(f"namespace {name}" for name in namespace.names(prefix)),
        *(f"container {name}" for name in containers(program.name)),
        *(f"mount {point}" for point in mounts if prefix in point),
        *(f"process {process}" for process in processes(program)),
        *(f"file {path}" for path in Path(program.environment["TMPDIR"]).rglob("*")),
        *(f"state {path}" for path in (program.state / program.name).rglob("*") if "loads" not in path.parts),
    ]


def processes(program: Program) -> Iterator[str]:
    """Every process that descends from a command of the program: it inherits the program's environment."""
    mark = f"TESTBED_NAME={program.name}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                yield f"{process.name} {(process / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}"
        except OSError:  # it has ended
            continue
