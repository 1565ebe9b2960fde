"""A disk that is full or read-only, a damaged state file, a folder that is gone: `down` works all the same."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.control.state.folders import FILES
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import containers, file, program, small, traces
from tests.waiting import eventually

NETWORKS = "compute/v1/projects/small/global/networks"
FILLER = "filler"
NODES = 6
"""Nodes of the small testbed."""


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Program]:
    """A testbed with a disk of its own for its state."""
    disk = tmp_path / "state"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    try:
        with program(tmp_path, "lost") as made:
            yield made
            (made.state / FILLER).unlink(missing_ok=True)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(folder: Path) -> None:
    """Leave not a byte of room."""
    descriptor = os.open(folder / FILLER, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 1 << 12, 1):
            while wrote(descriptor, size):
                pass
    finally:
        os.close(descriptor)


def wrote(descriptor: int, size: int) -> bool:
    try:
        return os.write(descriptor, bytes(size)) > 0
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - any other is a fault of the test
        return False


def remount(folder: Path, options: str) -> bool:
    return subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=False).returncode == 0


def refused(outcome: subprocess.CompletedProcess[str], status: str, *words: str) -> None:
    assert outcome.returncode != 0
    assert status in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert all(word in outcome.stderr for word in words), outcome.stderr


def test_a_full_disk_refuses_changes_and_nothing_else(bed: Program) -> None:
    topology = small(bed.name)
    rest = Rest.up(bed, topology)
    controller = bed.json("status")["controller"]
    fill(bed.state)
    answer = rest.call("POST", NETWORKS, {"name": "other", "autoCreateSubnetworks": False})
    assert answer["error"]["code"] == 429, answer
    assert str(bed.state / bed.name) in answer["error"]["message"]
    assert [one["name"] for one in rest.call("GET", NETWORKS)["items"]] == ["vpc"]
    topology["compute"]["networks"].append({"name": "third"})
    refused(bed.run("up", file(bed, topology, "more"), check=False), "RESOURCE_EXHAUSTED", str(bed.state / bed.name))
    assert bed.invoke("relay", "/vm?fresh=1")["body"]["client"].startswith("10.8.0.")
    assert bed.json("status")["controller"] == controller
    (bed.state / FILLER).unlink()
    assert rest.call("POST", NETWORKS, {"name": "other", "autoCreateSubnetworks": False})["status"]
    fill(bed.state)
    bed.run("down")
    assert traces(bed) == []


def test_down_works_on_a_read_only_disk(bed: Program) -> None:
    bed.run("up", "--empty")
    os.kill(bed.json("status")["controller"], signal.SIGKILL)
    eventually(lambda: remount(bed.state, "ro"), "nobody writes there any more")
    refused(bed.run("up", check=False), "UNAVAILABLE", "read-only")
    refused(bed.run("down", check=False), "UNAVAILABLE", "it is down", "read-only")
    assert all(trace.startswith("state ") for trace in traces(bed))
    assert remount(bed.state, "rw")
    bed.run("down")
    assert traces(bed) == []


def test_a_damaged_state_harms_no_other_and_can_be_removed(bed: Program) -> None:
    bed.run("up", file(bed, small(bed.name)))
    os.kill(bed.json("status")["controller"], signal.SIGKILL)
    eventually(lambda: bed.json("ls")[0]["controller"] is None, "the controller has ended")
    for name in FILES:
        (bed.state / bed.name / name).write_bytes(b"no database" * 1000)
    [row] = bed.json("ls")
    assert "damaged" in row["error"]
    refused(bed.run("status", check=False), "UNAVAILABLE", "damaged", "testbed down")
    refused(bed.run("up", file(bed, small(bed.name)), check=False), "UNAVAILABLE", "damaged", "testbed down")
    assert len(containers(bed.name)) == NODES
    bed.run("down")
    assert traces(bed) == []


def test_a_testbed_without_its_folder_is_removed_by_its_labels(bed: Program) -> None:
    bed.run("up", file(bed, small(bed.name)))
    shutil.rmtree(bed.state / bed.name)
    refused(bed.run("down", check=False), "NOT_FOUND", "--force")
    assert len(containers(bed.name)) == NODES
    bed.run("down", "--force")
    eventually(lambda: traces(bed) == [], "nothing is left")
