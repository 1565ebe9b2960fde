"""A VM and a service without internet reach the testbed's own control plane as Google's APIs (behaviour 4.8, 3.3.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.nodes.engine import connect
from tests.e2e.program import Program
from tests.e2e.small import file, program, small
from tests.waiting import PATIENCE, QUIET

PRIVATE = "199.36.153.8"
API = "vpcaccess.googleapis.com"
CONNECTORS = f"https://{API}/v1/projects/small/locations/us-central1/connectors"
STALLED = 205
"""More connections than the control plane has at a time for a network."""
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


def test_stalled_requests_keep_nobody_else_from_googles_apis(bed: tuple[Program, dict[str, Any]]) -> None:
    made, _ = bed
    with closing(connect()) as client, ExitStack() as stack:
        process = client.containers.get(host_name(made.name, "vm")).attrs["State"]["Pid"]
        for _ in range(STALLED):
            stalled = stack.enter_context(namespace.connect(f"/proc/{process}/ns/net", (PRIVATE, 443), PATIENCE))
            with suppress(ConnectionError):  # the later ones are closed
                stalled.sendall(f"POST / HTTP/1.1\r\nHost: {API}\r\nContent-Length: 9\r\n\r\n".encode())
        assert listed(made, "relay")[0] == 0


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
