"""`testbed up --empty`: what a new project has, and what VMs in its network `default` reach of each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Program
from tests.e2e.rest import Rest, eventually_seen
from tests.e2e.small import program

PROJECT = "compute/v1/projects/demo"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
RULES = [f"default-allow-{name}" for name in ("icmp", "internal", "rdp", "ssh")]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Program]:
    with program(tmp_path, "empty") as made:
        yield made


def named(rest: Rest, collection: str) -> list[str]:
    return sorted(one["name"] for one in rest.call("GET", f"{PROJECT}/{collection}").get("items", []))


@pytest.mark.behaviour("4.1.19")
def test_it_has_the_network_of_a_new_project(bed: Program) -> None:
    bed.run("up", "--empty")
    rest = Rest.of(bed)
    assert named(rest, "global/networks") == ["default"]
    assert named(rest, "global/firewalls") == RULES
    for name, zone in (("here", "us-central1-a"), ("there", "europe-west1-b")):
        body = {
            "name": name,
            "machineType": f"zones/{zone}/machineTypes/e2-micro",
            "disks": [{"boot": True, "initializeParams": {"sourceImage": IMAGE}}],
            "networkInterfaces": [{}],
        }
        rest.make(f"{PROJECT}/zones/{zone}/instances", body)
    there = rest.call("GET", f"{PROJECT}/zones/europe-west1-b/instances/there")["networkInterfaces"][0]["networkIP"]
    assert there.startswith("10.132.0.")
    assert eventually_seen(bed, "here", f"http://{there}/").startswith("10.128.0.")

    assert "nothing was changed" in bed.run("up", "--empty").stdout
    for zone, name in (("us-central1-a", "here"), ("europe-west1-b", "there")):
        rest.succeeds("DELETE", f"{PROJECT}/zones/{zone}/instances/{name}")
    for name in RULES:
        rest.succeeds("DELETE", f"{PROJECT}/global/firewalls/{name}")
    rest.succeeds("DELETE", f"{PROJECT}/global/networks/default")
    assert named(rest, "global/networks") == []


def test_it_may_have_nothing(bed: Program) -> None:
    bed.run("up", "--empty", "--no-default-network")
    rest = Rest.of(bed)
    assert (named(rest, "global/networks"), named(rest, "global/firewalls")) == ([], [])


def test_a_project_that_is_none_is_refused(bed: Program) -> None:
    refused = bed.run("up", "--empty", "--project", "a;b", check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: INVALID_ARGUMENT project 'a;b': ")
    assert bed.run("status", check=False).returncode == 3
