"""Shared VPC: the network `vpc` is the host project's (`p`), its connectors and services are of any project (4.6)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from testbed.fabric.allocation.keys import NameKey
from testbed.model.managed_rules import HEALTH_PORT
from testbed.model.topology import Topology
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask
from tests.unit.topologies import Data, compute, service, subnet, topology, vm
from tests.waiting import patience

SUBNET = subnet("small", "10.8.0.0/28")
SERVERLESS, PROBES = "35.199.224.0/19", ("35.191.0.0/16", "35.191.192.0/18", "130.211.0.0/22")
TUNNEL = "tcp:667,udp:665-666,icmp"
TAG = "vpc-connector-us-central1-c1"


def by_hand(tag: str = "vpc-connector") -> dict[str, Data]:
    """The four rules that the host project's administrator makes (behaviour 2.3.1)."""
    rules: dict[str, Data] = {
        "serverless-to-vpc-connector": {"allowed": TUNNEL, "sourceRanges": [SERVERLESS], "targetTags": [tag]},
        "vpc-connector-to-serverless": {
            "allowed": TUNNEL,
            "destinationRanges": [SERVERLESS],
            "direction": "EGRESS",
            "targetTags": [tag],
        },
        "vpc-connector-health-checks": {"allowed": "tcp:667", "sourceRanges": [*PROBES], "targetTags": [tag]},
        "vpc-connector-requests": {"allowed": "tcp,udp,icmp", "sourceTags": [tag]},
    }
    return {name: {"name": name, "network": "vpc", **rule} for name, rule in rules.items()}


def shared(rules: Sequence[Data], project: str = "service") -> Topology:
    """A connector of a project in a subnet of the host project, a service of another service project, and a VM."""
    name = f"projects/{project}/locations/us-central1/connectors/c1"
    web = {**service("web", name), "name": "projects/another/locations/us-central1/services/web"}
    return topology(
        compute=compute(subnetworks=[subnet(), SUBNET], instances=[vm("a")], firewalls=[*rules]),
        vpcaccess={"connectors": [{"name": name, "subnet": {"name": "small", "projectId": "p"}}]},
        run={"services": [web]},
    )


@contextmanager
def network(rules: Sequence[Data], project: str = "service") -> Iterator[Built]:
    with built(shared(rules, project)) as made:
        yield made


def answered(made: Built, sender: str, receiver: str, address: str, port: int, *, within: float) -> bool:
    with answering(made.paths[receiver], (address, port), receiver), made.socket(sender, socket.SOCK_STREAM) as client:
        client.settimeout(within)
        with suppress(OSError):
            client.connect((address, port))
            return ask(client) == receiver
    return False


def works(made: Built, *, healthy: bool, reaches: bool) -> bool:
    """Whether health checks arrive at the connector's instance, and the service's requests at the VM, as expected."""
    (one, *_) = made.running.instances
    prober = made.running.name(NameKey.google("projects/p/global/networks/vpc"))
    checked = answered(made, prober, one.name, one.address, HEALTH_PORT, within=patience(healthy))
    served = answered(made, "web", "a", made.address(instance("a")), 80, within=patience(reaches))
    return (checked, served) == (healthy, reaches)


@pytest.mark.behaviour("2.3.1", "2.3.3", "4.6.2")
@pytest.mark.parametrize(
    ("missing", "healthy", "reaches"),
    [
        ((), True, True),
        (("serverless-to-vpc-connector",), True, False),
        (("vpc-connector-to-serverless",), True, True),  # it is needed only where something denies egress
        (("vpc-connector-health-checks",), False, True),
        (("vpc-connector-requests",), True, False),
        ((*by_hand(),), False, False),
    ],
)
def test_a_connector_of_a_service_project_needs_rules_by_hand(
    missing: Sequence[str], healthy: bool, reaches: bool
) -> None:
    with network([rule for name, rule in by_hand().items() if name not in missing]) as made:
        assert works(made, healthy=healthy, reaches=reaches)


@pytest.mark.behaviour("2.3.1", "2.3.3")
@pytest.mark.parametrize(("missing", "answered"), [((), True), (("vpc-connector-to-serverless",), False)])
def test_where_egress_is_denied_answers_need_the_rule_to_serverless(missing: Sequence[str], answered: bool) -> None:
    """The request arrives at the VM, and its answer at the instance."""
    out = {"network": "vpc", "direction": "EGRESS"}
    denied: list[Data] = [
        {"name": "nothing-out", "priority": 65534, "denied": "all", **out},
        {"name": "to-targets", "allowed": "all", "destinationRanges": ["10.128.0.0/20"], **out},
    ]
    with network([*denied, *(rule for name, rule in by_hand().items() if name not in missing)]) as made:
        assert works(made, healthy=True, reaches=answered)
        assert made.packets("vpc-vpc", "vpc-connector-requests") >= 1
        assert (made.packets("vpc-vpc", "nothing-out") > 0) == (not answered)


@pytest.mark.behaviour("2.3.3")
def test_a_tunnel_is_counted_once_for_each_direction() -> None:
    with network([*by_hand().values()]) as made:
        for _ in range(5):
            assert works(made, healthy=True, reaches=True)
        used = len({*made.running.instances})
        for rule in ("serverless-to-vpc-connector", "vpc-connector-to-serverless"):
            assert 1 <= made.packets("vpc-vpc", rule) <= used


@pytest.mark.behaviour("2.3.1", "2.3.4")
@pytest.mark.parametrize(("tag", "expected"), [(TAG, True), (f"{TAG}2", False)])
def test_the_rules_may_be_for_one_connector(tag: str, expected: bool) -> None:
    with network([*by_hand(tag).values()]) as made:
        assert works(made, healthy=expected, reaches=expected)


@pytest.mark.behaviour("2.2.2", "4.6.2")
def test_a_connector_of_the_host_project_needs_none_and_serves_other_projects() -> None:
    with network([], "p") as made:
        assert works(made, healthy=True, reaches=True)
