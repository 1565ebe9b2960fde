"""What hangs costs its own operation and nothing else: rules, replacements and health checks go on meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.program import Program
from tests.e2e.rest import Json, Rest, client_of
from tests.e2e.small import program, small
from tests.e2e.test_instance_failure import docker, instances, replaced
from tests.waiting import eventually

PROJECT = "compute/v1/projects/small"
FIREWALLS = f"{PROJECT}/global/firewalls"
ZONES = "dns/v1/projects/small/managedZones"
REDIS = "v1/projects/small/locations/us-central1/instances"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("hang"), "hang") as made:
        topology = small(made.name)
        nic = {"subnetwork": "us", "networkIP": "10.128.0.3"}
        topology["compute"]["instances"].append({"name": "other", "networkInterfaces": [nic]})
        Rest.up(made, topology)
        yield made


def all_else_goes_on(bed: Program, rest: Rest, name: str) -> None:
    """A rule opens a way, and a connector instance that is killed is replaced."""
    assert client_of(bed, "other", "http://10.128.0.2/") is None
    rest.make(FIREWALLS, {"name": name, "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]})
    assert client_of(bed, "other", "http://10.128.0.2/") == "10.128.0.3"
    rest.succeeds("DELETE", f"{FIREWALLS}/{name}")
    before = instances(bed)
    docker("kill", bed, min(before))
    replaced(bed, before)
    assert bed.invoke("relay", "/vm?fresh=1")["status"] == 200


@contextmanager
def stopped(*processes: int) -> Iterator[None]:
    """Processes of the testbed that do not run on for as long as the context lasts."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def processes_of(bed: Program, node: str, program: str) -> list[int]:
    """The processes of a program in a node, by their numbers on the host."""
    shown = subprocess.run(
        ["docker", "top", f"tb-{bed.name}-{node}", "-eo", "pid,comm"], capture_output=True, text=True, check=True
    )
    lines = (line.split(None, 1) for line in shown.stdout.splitlines()[1:])
    return [int(pid) for pid, name in lines if name == program]


def is_done(rest: Rest, where: str) -> bool:
    now = rest.call("GET", where)
    return bool(now.get("done") or now.get("status") in {"DONE", "done"})


def test_a_name_server_that_hangs(bed: Program) -> None:
    rest = Rest.of(bed)
    network = f"https://www.googleapis.com/{PROJECT}/global/networks/vpc"
    visible = {"visibility": "private", "privateVisibilityConfig": {"networks": [{"networkUrl": network}]}}
    rest.call("POST", ZONES, {"name": "held-up", "dnsName": "held.example.", "description": "", **visible})
    address = {"name": "a.held.example.", "type": "A", "ttl": 60, "rrdatas": ["10.128.0.9"]}
    changes = f"{ZONES}/held-up/changes"
    server = processes_of(bed, "dns", "named")
    assert server
    with stopped(*server):
        made: Json = rest.call("POST", changes, {"additions": [address]})
        assert made["status"] == "pending"
        all_else_goes_on(bed, rest, "beside-dns")
        assert not is_done(rest, f"{changes}/{made['id']}")
    eventually(lambda: is_done(rest, f"{changes}/{made['id']}"), "the record")


def ansible(bed: Program) -> list[int]:
    """The processes of Ansible that work on this testbed."""
    mark = f"ANSIBLE_HOME={bed.state / bed.name}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(line.startswith(mark) for line in (process / "environ").read_bytes().split(b"\0")):
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def test_an_ansible_run_that_hangs(bed: Program) -> None:
    rest = Rest.of(bed)
    body = {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": "projects/small/global/networks/vpc"}
    made = rest.call("POST", f"{REDIS}?instanceId=held-up", body)
    assert "error" not in made, made
    with stopped(*eventually(lambda: ansible(bed), "Ansible")):
        all_else_goes_on(bed, rest, "beside-ansible")
        assert not is_done(rest, f"v1/{made['name']}")
    rest.ended(REDIS, made)
