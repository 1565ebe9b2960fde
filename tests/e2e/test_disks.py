"""A node whose files take more than they may is ended, and an event says so; the others are left alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.fabric import node_specs
from testbed.nodes.disks import may_have_quota
from testbed.nodes.engine import connect
from tests.e2e.program import Program
from tests.e2e.small import file, program, small
from tests.waiting import eventually


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder: Path = tmp_path_factory.mktemp("disks")
    with program(folder, "disk") as made:
        topology = small(made.name)
        made.run("up", file(made, topology))
        yield made


def started(bed: Program, node: str) -> str:
    """When a node's container was started; empty while there is none."""
    name = f"tb-{bed.name}-{node}"
    command = ["docker", "inspect", "--format", "{{.State.StartedAt}}", name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_a_runtime_that_fills_the_disk_is_ended_and_made_anew(bed: Program) -> None:
    if may_have_quota(connect().info()):
        pytest.skip("the storage driver has quotas: the write itself fails")
    before, vm = started(bed, "relay"), started(bed, "vm")
    each = node_specs.RUNTIME_MEMORY >> 21
    bed.execute(
        "relay", "sh", "-c", f"for i in 1 2 3; do dd if=/dev/zero of=/tmp/f$i bs=1M count={each}; done", check=False
    )
    eventually(lambda: "its files take" in bed.run("events").stdout, "it is not ended")
    eventually(lambda: started(bed, "relay") not in ("", before), "it stays")
    assert started(bed, "vm") == vm
