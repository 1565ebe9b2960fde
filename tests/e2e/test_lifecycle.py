"""The life of a testbed, as its user drives it: what changes, what is left, what is said and with which exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TestbedError,
    Unavailable,
)
from testbed.kernel import namespace
from testbed.kernel.command import run
from tests.e2e.flows import held
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import containers, file, program, small, start, traces
from tests.waiting import COMMAND, PATIENCE, TRY, eventually

INTERRUPTED = 130
WITHOUT_ROOT = """
import ctypes, os
os.seteuid(65534)
ctypes.CDLL(None).setfsuid(0)
from testbed.cli import main
main()
"""
"""As another user, who may read what root may: this clone, or the interpreter, may lie in a folder of root's alone."""
KERNEL = (
    "iptables-save",
    "ipset list -n",
    "ip address",
    "ip route show table all",
    "ip rule",
    "ip nexthop",
    "ip neighbour show nud permanent",
)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A small testbed that is up."""
    with program(tmp_path_factory.mktemp("life"), "life") as made:
        made.run("up", file(made, small(made.name)))
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Program]:
    """A program whose testbed is not up."""
    with program(tmp_path, "fresh") as made:
        yield made


def fails(bed: Program, error: type[TestbedError], *arguments: str) -> str:
    """What a command says that must end with the exit status of an error."""
    return refusal(error, bed.run(*arguments, check=False))


def refusal(error: type[TestbedError], result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == error.exit_status, f"{result.returncode}: {result.stdout}{result.stderr}"
    assert "Traceback" not in result.stderr
    assert error.status in result.stderr
    assert result.stdout == ""
    return result.stderr


def works(bed: Program) -> None:
    assert bed.invoke("relay", "/vm?fresh=1")["status"] == 200


def processes_of_containers(name: str) -> dict[str, int]:
    listed = containers(name)
    shown = subprocess.run(["docker", "inspect", *listed.values()], capture_output=True, text=True, check=True)
    return {one["Name"].lstrip("/"): one["State"]["Pid"] for one in json.loads(shown.stdout)}


def in_the_kernel(name: str) -> dict[str, list[str]]:
    """Addresses, routes and firewall of all namespaces of a testbed, without counters and dates."""
    paths = {space: namespace.path(space) for space in namespace.names(f"tb-{name}-")}
    paths |= {node: f"/proc/{pid}/ns/net" for node, pid in processes_of_containers(name).items()}

    def look() -> list[str]:
        lines = [line for command in KERNEL for line in run(command.split()).splitlines()]
        return [line.split(" [")[0] for line in lines if not line.startswith("#")]

    return {space: namespace.inside(path, look) for space, path in paths.items()}


# -- up and down ------------------------------------------------------------------------------------------------------


def test_up_a_second_time_changes_nothing(bed: Program) -> None:
    def look() -> list[Any]:
        name = bed.name
        controller = bed.json("status")["controller"]
        return [containers(name), processes_of_containers(name), in_the_kernel(name), controller]

    before = look()
    result = bed.run("up", file(bed, small(bed.name)))
    assert "nothing was changed" in result.stdout
    assert look() == before


def test_an_up_mends_what_was_broken_by_hand(bed: Program) -> None:
    def reached() -> bool:
        return bed.run("invoke", "relay", f"/vm?fresh=1&timeout={TRY}", check=False).returncode == 0

    assert reached()
    run(["ip", "-n", f"tb-{bed.name}-vpc-vpc", "link", "delete", "vm"])
    assert not reached()
    assert "nothing was changed" in bed.run("up", file(bed, small(bed.name))).stdout
    eventually(reached, "the way to the VM")


def test_two_testbeds_of_one_file_do_not_see_each_other(bed: Program, fresh: Program) -> None:
    topology = file(bed, small(bed.name))
    fresh.state = bed.state
    fresh.run("up", topology)  # TESTBED_NAME, in its environment, is another name
    assert {row["name"] for row in bed.json("ls")} == {bed.name, fresh.name}
    for one, other in ((bed, fresh), (fresh, bed)):
        one.invoke("relay", f"/vm?path=from-{one.name}")
        assert f"from-{one.name}" in one.run("logs", "vm").stdout
        assert f"from-{one.name}" not in other.run("logs", "vm").stdout

    nameless = Program("", bed.folder, bed.state)
    said = fails(nameless, InvalidArgument, "status")
    assert bed.name in said
    assert "--name" in said

    fresh.run("down")
    assert traces(fresh) == []
    works(bed)
    assert bed.json("status")["controller"]
    assert nameless.json("status")["name"] == bed.name  # the only one again


def test_two_ups_at_once_then_down_twice(fresh: Program) -> None:
    topology = file(fresh, small(fresh.name))
    both = [start(fresh, "up", topology) for _ in range(2)]
    said = sorted((process.communicate(timeout=COMMAND)[0] for process in both), key=lambda text: "nothing was" in text)
    assert [process.returncode for process in both] == [0, 0], said
    assert "6 nodes started" in said[0]
    assert "nothing was changed" in said[1]
    works(fresh)

    report = fresh.state / fresh.name / "loads" / "a-load" / "report.html"
    report.parent.mkdir(parents=True)
    report.touch()
    fresh.run("down")
    assert traces(fresh) == []
    for _ in range(2):
        assert fresh.name in fails(fresh, NotFound, "down")
        assert [path for path in (fresh.state / fresh.name).rglob("*") if path.is_file()] == [report]


@pytest.mark.parametrize(
    ("send", "number"),
    [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)],
    ids=["a terminal's Ctrl-C", "SIGTERM to the program alone"],
)
def test_ctrl_c_is_answered_at_once_and_down_cleans(
    fresh: Program, send: Callable[[int, int], None], number: signal.Signals
) -> None:
    topology = file(fresh, small(fresh.name))
    for phase in ("nodes", "configuration"):
        process = start(fresh, "up", topology)
        assert process.stdout
        assert any(line.startswith(phase) for line in process.stdout), f"there was no phase {phase}"
        send(process.pid, number)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == INTERRUPTED, said
        assert f"testbed '{fresh.name}': interrupted" in said
        assert f"testbed down --name {fresh.name}" in said
        assert "Traceback" not in said
        left = [trace for trace in traces(fresh) if trace.startswith(("process", "file"))]
        assert [trace for trace in left if "testbed serve" not in trace] == []  # the controller is there for the next
    fresh.run("down")
    assert traces(fresh) == []


# -- errors -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_wrong_is_refused_before_anything_is_made(fresh: Program) -> None:
    topology = small(fresh.name)
    topology["compute"]["instances"][0]["machine"] = "e2"
    wrong = file(fresh, topology)
    said = fails(fresh, InvalidArgument, "up", wrong)
    assert f"{wrong}:" in said
    assert "compute.instances[0].machine" in said
    assert "/nowhere.yaml" in fails(fresh, NotFound, "up", "/nowhere.yaml")
    assert "'../../etc' is not the name of a testbed" in fails(
        fresh, InvalidArgument, "up", file(fresh, small(fresh.name)), "--name", "../../etc"
    )
    assert traces(fresh) == []
    assert not fresh.state.exists()


def test_what_is_not_there_is_named(bed: Program, fresh: Program) -> None:
    said = fails(bed, NotFound, "exec", "nosuch", "--", "true")
    assert "'nosuch'" in said
    assert "c1-0001, c1-0002" in said
    assert "services: relay" in fails(bed, NotFound, "invoke", "nosuch")
    assert "'nosuch'" in fails(bed, NotFound, "logs", "nosuch")
    for command in ("status", "down"):
        assert fresh.name in fails(fresh, NotFound, command)
    nothing = Program("", fresh.folder, fresh.state)
    assert "testbed: none is running" in fails(nothing, NotFound, "status")
    assert nothing.run("down", "--if-exists").stdout == "testbed: none is running\n"
    assert fresh.json("down", "--if-exists") == {"name": fresh.name, "removed": []}
    assert f"{bed.name}  yes" in bed.run("ls").stdout
    assert "is not the name" in fails(fresh, InvalidArgument, "down", "--name", "../../etc")


def test_another_ones_namespace_is_in_the_way(fresh: Program) -> None:
    name = f"tb-{fresh.name}-internet"
    namespace.create(name)
    try:
        inode = Path(namespace.path(name)).stat().st_ino
        assert name in fails(fresh, AlreadyExists, "up", file(fresh, small(fresh.name)))
        fails(fresh, NotFound, "down")
        assert Path(namespace.path(name)).stat().st_ino == inode
        assert traces(fresh) == [f"namespace {name}", f"mount {namespace.path(name)}"]
    finally:
        namespace.delete(name)


def test_another_ones_container_is_in_the_way(fresh: Program) -> None:
    name = f"tb-{fresh.name}-vm"
    labels = ["--label", f"dev.testbed.name={fresh.name}", "--label", "dev.testbed.id=another"]
    create = ["docker", "create", "--name", name, *labels, "testbed/debian:bookworm", "true"]
    made = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
    try:
        assert name in fails(fresh, AlreadyExists, "up", file(fresh, small(fresh.name)))
        fails(fresh, NotFound, "down")
        assert containers(fresh.name) == {name: made}
        assert traces(fresh) == [f"container {name}"]
    finally:
        subprocess.run(["docker", "rm", made], capture_output=True, check=True)


def test_without_root(fresh: Program) -> None:
    for arguments in (["up", file(fresh, small(fresh.name))], ["status"], ["down"], ["ls"]):
        result = subprocess.run(
            [sys.executable, "-c", WITHOUT_ROOT, *arguments],
            env=fresh.variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "sudo" in refusal(PermissionDenied, result)
    assert traces(fresh) == []
    assert not fresh.state.exists()


def test_without_docker(bed: Program, fresh: Program) -> None:
    fresh.environment["DOCKER_HOST"] = "unix:///nonexistent"
    said = fails(fresh, Unavailable, "up", file(fresh, small(fresh.name)))
    assert "systemctl start docker" in said
    assert traces(fresh) == []
    assert not fresh.state.exists()

    before = containers(bed.name)
    other = Program(bed.name, bed.folder, bed.state, fresh.environment)
    assert "systemctl start docker" in fails(other, Unavailable, "down")
    assert containers(bed.name) == before
    bed.run("up", file(bed, small(bed.name)))  # `down` has ended the controller
    works(bed)


def test_an_up_that_is_refused_leaves_the_testbed_as_it_is(bed: Program) -> None:
    topology = small(bed.name)
    disk = {"initializeParams": {"sourceImage": "nosuch.invalid/image"}}
    topology["compute"]["instances"][0]["disks"] = [disk]
    before = bed.json("status")
    assert "nosuch.invalid/image" in fails(bed, NotFound, "up", file(bed, topology, "refused"))
    after = bed.json("status")
    assert (after["complete"], after["controller"]) == (True, before["controller"])
    works(bed)


# -- the controller ---------------------------------------------------------------------------------------------------


def test_a_controller_that_was_killed_is_missed_and_started_again(bed: Program) -> None:
    killed = bed.json("status")["controller"]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: bed.json("ls")[0]["controller"] is None, "the end of the controller")
    assert "start it again: testbed up" in fails(bed, Unavailable, "status")
    assert "nothing was changed" in bed.run("up").stdout  # without a file, it is the testbed as it is
    assert bed.json("status")["controller"] not in (None, killed)
    works(bed)


def test_what_an_api_has_made_is_not_deleted_unasked(bed: Program) -> None:
    rest, rules = Rest.of(bed), "compute/v1/projects/small/global/firewalls"
    rest.make(rules, {"name": "by-api", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]})
    without = file(bed, small(bed.name))
    said = fails(bed, FailedPrecondition, "up", without)
    assert "compute.firewalls projects/small/global/firewalls/by-api" in said
    assert "--yes" in said
    assert "nothing was changed" in bed.run("up").stdout
    assert rest.call("GET", f"{rules}/by-api")["name"] == "by-api"
    bed.run("up", without, "--yes")
    assert rest.call("GET", f"{rules}/by-api")["error"]["code"] == 404
    works(bed)


# -- scale ------------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("1.8.2")
def test_more_instances_break_no_flow_and_fewer_are_refused(bed: Program) -> None:
    """Last: this testbed cannot go back (behaviour 1.8.2)."""
    more = file(bed, small(bed.name, instances=3), "more")
    with held(bed, 24) as flows:
        sources = flows.ask()
        assert len(set(sources)) == 2
        assert "1 nodes started" in bed.run("up", more).stdout
        assert flows.ask() == sources
        third = bed.json("status")["instances"][2]
        assert third["name"] == "c1-0003"

        def reached() -> bool:  # a bucket of the nexthop group moves to it when it was idle for a minute
            return bool(bed.invoke("relay", "/vm?fresh=1")["body"]["client"] == third["address"])

        eventually(reached, "a new flow by the third instance")
        assert flows.ask() == sources

    def look() -> list[Any]:
        status = bed.json("status")
        instances = [(row["name"], row["address"], row["health"]) for row in status.pop("instances")]
        return [status, instances, containers(bed.name), in_the_kernel(bed.name)]

    before = look()
    said = fails(bed, InvalidArgument, "up", file(bed, small(bed.name)))
    assert "Decreasing the number of instances for existing connectors is not supported" in said
    assert look() == before
