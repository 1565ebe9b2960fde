"""A VM and a service without internet reach the testbed's own control plane as Google's APIs (behaviour 4.8, 3.3.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program
from tests.e2e.small import file, program, small
from tests.waiting import PATIENCE, QUIET

PRIVATE = "199.36.153.8"
API = "vpcaccess.googleapis.com"
CONNECTORS = f"https://{API}/v1/projects/small/locations/us-central1/connectors"
TIMED_OUT = 28
"""curl's code for it."""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, dict[str, Any]]]:
    with program(tmp_path_factory.mktemp("pga"), "pga") as made:
        topology = small(made.name)
        compute = topology["compute"]
        compute["subnetworks"][0]["privateIpGoogleAccess"] = True
        compute["subnetworks"].append(
            {
                "name": "serverless",
                "network": "vpc",
                "ipCidrRange": "10.8.0.0/28",
                "privateIpGoogleAccess": True,
            }
        )
        topology["vpcaccess"]["connectors"] = [
            {"name": "c1", "subnet": {"name": "serverless"}, "minInstances": 2, "maxInstances": 3}
        ]
        made.run("up", file(made, topology))
        yield made, topology


def listed(bed: Program, node: str, address: str = PRIVATE, wait: float = PATIENCE) -> tuple[int, str]:
    """What curl finds, with the node's own trust store; names are another part's."""
    result = bed.execute(
        node, "curl", "-sS", "-m", str(wait), "--resolve", f"{API}:443:{address}", CONNECTORS, check=False
    )
    return result.returncode, result.stdout


@pytest.mark.behaviour("4.8.1", "4.8.2", "3.3.4", "3.2.2")
def test_it_is_the_subnets_that_decides(bed: tuple[Program, dict[str, Any]], tmp_path: Path) -> None:
    made, topology = bed
    for node in ("vm", "relay"):  # the service goes by its connector: the address is one of private-ranges-only
        code, text = listed(made, node)
        assert code == 0, text
        assert [one["name"].split("/")[-1] for one in json.loads(text)["connectors"]] == ["c1"]
    for subnet in topology["compute"]["subnetworks"]:
        subnet["privateIpGoogleAccess"] = False
    made.run("up", file(made, topology, tmp_path.name))
    for node in ("vm", "relay"):
        assert listed(made, node, wait=QUIET) == (TIMED_OUT, "")
