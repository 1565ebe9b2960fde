"""Connectors that the API makes carry packets, or fail for a reason that packets have: a Shared VPC (behaviour 2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.e2e.readers import hits
from tests.e2e.rest import Json, Rest, client_of, eventually_seen
from tests.e2e.small import program
from tests.waiting import PATIENCE, QUIET, eventually

HOST = "compute/v1/projects/host"
SERVICE = "projects/service/locations/us-central1"
CONNECTORS = f"v1/{SERVICE}/connectors"
NAME = f"{SERVICE}/connectors/c1"
SMALL = IPv4Network("10.9.0.0/28")
VM = "http://10.128.0.2/"
SHARED: Json = {
    "project": "host",
    "region": "us-central1",
    "zone": "us-central1-a",
    "compute": {
        "networks": [{"name": "vpc"}],
        "subnetworks": [
            {"name": "us", "network": "vpc", "ipCidrRange": "10.128.0.0/20"},
            {"name": "small", "network": "vpc", "ipCidrRange": str(SMALL)},
        ],
        "instances": [{"name": "vm", "networkInterfaces": [{"subnetwork": "us", "networkIP": "10.128.0.2"}]}],
    },
}
PROXY = [
    {"IPProtocol": "tcp", "ports": ["667"]},
    {"IPProtocol": "udp", "ports": ["665-666"]},
    {"IPProtocol": "icmp"},
]
RULES: list[Json] = [
    {
        "name": "serverless-to-vpc-connector",
        "direction": "INGRESS",
        "allowed": PROXY,
        "sourceRanges": ["35.199.224.0/19"],
        "targetTags": ["vpc-connector"],
    },
    {
        "name": "vpc-connector-to-serverless",
        "direction": "EGRESS",
        "allowed": PROXY,
        "destinationRanges": ["35.199.224.0/19"],
        "targetTags": ["vpc-connector"],
    },
    {
        "name": "vpc-connector-health-checks",
        "direction": "INGRESS",
        "targetTags": ["vpc-connector"],
        "allowed": [{"IPProtocol": "tcp", "ports": ["667"]}],
        "sourceRanges": ["35.191.0.0/16", "35.191.192.0/18", "130.211.0.0/22"],
    },
]
"""Three of the four rules that an administrator of the host project makes (behaviour 2.3.1)."""
REQUESTS: Json = {
    "name": "vpc-connector-requests",
    "direction": "INGRESS",
    "sourceTags": ["vpc-connector"],
    "allowed": [{"IPProtocol": "tcp"}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}],
}
"""The fourth."""
CONNECTOR: Json = {"subnet": {"name": "small", "projectId": "host"}, "minInstances": 2, "maxInstances": 3}
RELAY: Json = {
    "template": {
        "containers": [{"image": "testbed/runtime", "command": ["python3", "-m", "http.server", "8080"]}],
        "vpcAccess": {"connector": NAME, "egress": "PRIVATE_RANGES_ONLY"},
    }
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """A host project with a VM and an empty /28; the testbed's firewall lets nothing in."""
    with program(tmp_path_factory.mktemp("shared"), "shared") as bed:
        yield Rest.up(bed, {**SHARED, "name": bed.name})


def rule(rest: Rest, body: Json) -> None:
    rest.make(f"{HOST}/global/firewalls", {**body, "network": "global/networks/vpc"})


@pytest.mark.behaviour("1.7.5", "2.3.1", "2.3.3")
def test_a_service_project_needs_rules_of_the_host_project(shared: Rest) -> None:
    """Behaviour 2.3.1, 2.3.3: without them no health check arrives; without the fourth, no request does."""
    failed = shared.done("POST", f"{CONNECTORS}?connectorId=c1", CONNECTOR)
    assert failed["error"]["code"] == 13  # behaviour 1.7.5
    assert "failed to get healthy" in failed["error"]["message"]
    assert shared.call("GET", f"v1/{NAME}")["state"] == "ERROR"
    status = shared.bed.json("status")
    assert (status["instances"], status["connectors"][0]["state"]) == ([], "ERROR")
    assert "error" not in shared.done("DELETE", f"v1/{NAME}")

    for body in RULES:
        rule(shared, body)
    made = shared.done("POST", f"{CONNECTORS}?connectorId=c1", CONNECTOR)
    assert made["response"]["state"] == "READY", made
    assert hits(shared.bed, "vpc-vpc")["vpc-connector-health-checks"] > 0
    shared.make(f"v2/{SERVICE}/services?serviceId=relay", RELAY)
    assert client_of(shared.bed, "relay", VM, within=QUIET) is None
    assert hits(shared.bed, "vpc-vpc")["serverless-to-vpc-connector"] > 0
    rule(shared, REQUESTS)
    assert IPv4Address(eventually_seen(shared.bed, "relay", VM)) in SMALL
    assert not [name for name in hits(shared.bed, "vpc-vpc") if name.startswith("aet-")]
    assert shared.call("GET", f"v1/{NAME}")["connectedProjects"] == ["service"]


@pytest.mark.behaviour("1.10.2", "1.10.5a")
def test_a_connector_that_is_made_again_is_used_again(shared: Rest) -> None:
    """Behaviour 1.10.2, 1.10.5a: services keep the name of their connector; nothing is deployed anew."""
    assert eventually_seen(shared.bed, "relay", VM)
    assert "error" not in shared.done("DELETE", f"v1/{NAME}")
    assert client_of(shared.bed, "relay", VM, within=QUIET) is None
    assert shared.bed.json("status")["instances"] == []
    shared.done("POST", f"{CONNECTORS}?connectorId=c1", CONNECTOR)
    assert IPv4Address(eventually_seen(shared.bed, "relay", VM)) in SMALL


@pytest.mark.behaviour("1.8.5", "1.8.6")
def test_another_machine_type_comes_one_instance_after_the_other(shared: Rest) -> None:
    """Behaviour 1.8.5, 1.8.6: UPDATING meanwhile, and requests get through all the time."""
    before = {row["name"] for row in shared.bed.json("status")["instances"]}
    path = f"v1/{NAME}?updateMask=machineType"
    operation = shared.call("PATCH", path, {"machineType": "e2-standard-4"})
    seen = set()
    while not operation.get("done"):
        assert shared.call("GET", f"v1/{NAME}")["state"] in {"UPDATING", "READY"}
        seen.add(client_of(shared.bed, "relay", VM, within=PATIENCE) is not None)
        operation = shared.call("GET", f"v1/{operation['name']}")
    assert "error" not in operation, operation
    assert False not in seen
    after = {row["name"] for row in shared.bed.json("status")["instances"]}
    assert len(after) == 2
    assert not before & after
    eventually(lambda: client_of(shared.bed, "relay", VM), "a request after it")
