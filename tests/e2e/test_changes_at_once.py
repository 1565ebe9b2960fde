"""Changes that meet: services that are deleted at once, nodes that are made beside a load test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed.model.core.well_known import FRONT_END, LOAD_GENERATOR
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import containers, file, program, small, start
from tests.waiting import PATIENCE, eventually

SERVICES = "v2/projects/small/locations/us-central1/services"
ZONE = "compute/v1/projects/small/zones/us-central1-a"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder: Path = tmp_path_factory.mktemp("at-once")
    with program(folder, "once") as made:
        topology = small(made.name)
        [relay] = topology["run"]["services"]
        topology["run"]["services"].append({**relay, "name": "second"})
        made.run("up", file(made, topology))
        yield made


def test_a_load_test_outlives_nodes_that_come_and_go(bed: Program) -> None:
    rest = Rest.of(bed)
    machine = {
        "name": "late",
        "machineType": "zones/us-central1-a/machineTypes/e2-micro",
        "disks": [{"boot": True, "initializeParams": {"sourceImage": "testbed/vm"}}],
        "networkInterfaces": [{"subnetwork": "projects/small/regions/us-central1/subnetworks/us"}],
    }
    with start(bed, "load", "vm_reads", "--users", "2", "--duration", "8s", "--json") as load:
        eventually(lambda: f"tb-{bed.name}-{LOAD_GENERATOR}" in containers(bed.name), "the generator is there")
        rest.make(f"{ZONE}/instances", machine)
        rest.succeeds("DELETE", f"{ZONE}/instances/late")
        output, _ = load.communicate(timeout=PATIENCE)
    assert load.returncode == 0, output
    assert json.loads(output[output.index("{") :])["outcome"]["total"]["failures"] == 0, output


def test_the_last_services_are_deleted_at_once(bed: Program) -> None:
    rest = Rest.of(bed)
    paths = [f"{SERVICES}/relay", f"{SERVICES}/second"]
    with ThreadPoolExecutor() as pool:
        for operation in pool.map(lambda path: rest.done("DELETE", path), paths):
            assert "error" not in operation, operation
    assert rest.call("GET", SERVICES).get("services", []) == []
    eventually(lambda: f"tb-{bed.name}-{FRONT_END}" not in containers(bed.name), "the front end has nothing to serve")
