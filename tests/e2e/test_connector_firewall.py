"""What the user's firewall can do to a connector: cut the tunnel, or the health checks (behaviour 2.2.4, 1.7.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.flows import held
from tests.e2e.program import Program, example
from tests.e2e.readers import health, hits, instances, seen
from tests.e2e.rules import ALL, NAME, Rules, rule
from tests.waiting import QUIET, eventually

VM = "http://10.128.0.2/"
FLOWS = 24
"""So many are spread over all instances, but for one time in eight million."""
PROBERS = ["35.191.0.0/16", "130.211.0.0/22"]


@pytest.fixture(autouse=True, scope="module")
def _put_back(demo: Program) -> Iterator[None]:
    yield
    demo.up(example(demo.name))
    eventually(lambda: set(health(demo)) == {"healthy"}, "healthy instances")


def _denying(ranges: list[str], topology: dict[str, Any]) -> dict[str, Any]:
    fields = {"name": NAME, "network": "vpc", "priority": 99, "deny": ["all"], "sourceRanges": ranges}
    topology["compute"]["firewalls"].append(fields)
    return topology


def _connector(name: str, cidr: str) -> dict[str, Any]:
    return {"name": name, "network": "vpc", "ipCidrRange": cidr, "minInstances": 2, "maxInstances": 3}


@pytest.mark.behaviour("2.1.4", "2.1.7", "2.2.4", "2.3.3")
def test_blocking_the_serverless_range_stops_the_tunnel(demo: Program) -> None:
    """Behaviour 2.2.4: a rule beats the automatic ones below priority 100 only.

    The connector is made under the rule: a tunnel that has been used is an established connection, which goes on.
    """
    topology = _denying(["35.199.224.0/19"], example(demo.name))
    topology["vpcaccess"]["connectors"].append(_connector("c2", "10.8.2.0/28"))
    topology["cloudfunctions"]["functions"][0]["serviceConfig"]["vpcConnector"] = "c2"
    demo.up(topology)
    assert seen(demo, "hello-function", VM, within=QUIET) is None
    stopped = hits(demo, "vpc-vpc")[NAME]
    assert stopped > 0
    Rules(demo).change(priority=101)
    assert seen(demo, "hello-function", VM) is not None
    assert hits(demo, "vpc-vpc")[NAME] in {0, stopped}  # it counts from its beginning, or goes on


def test_a_tunnel_in_use_is_an_established_connection(demo: Program) -> None:
    """Its packets of both directions are one connection to the firewall; a later rule is not tried for it."""
    demo.up(example(demo.name))
    with held(demo, FLOWS, "hello-run") as flows:
        used = set(flows.ask())
    assert used == set(instances(demo).values())
    with rule(demo, priority=99, denied=ALL, sourceRanges=["35.199.224.0/19"]):
        before = _tried(demo)
        assert seen(demo, "hello-run", VM) in used
        assert _tried(demo) == before


def _tried(testbed: Program) -> dict[str, int]:
    """Packets of tunnels that met a rule."""
    names = (NAME, "aet-uscentral1-c1-rsgfw", "aet-uscentral1-c1-earfw")
    found = hits(testbed, "vpc-vpc")
    return {name: found[name] for name in names}


@pytest.mark.behaviour("2.1.6", "2.1.7", "2.3.3")
def test_blocking_the_health_checks_makes_instances_unhealthy(demo: Program) -> None:
    """Instances that no probe reaches are unhealthy and get no new flows; without the rule they are healthy again."""
    with rule(demo, priority=99, denied=ALL, sourceRanges=PROBERS):
        eventually(lambda: "healthy" not in health(demo), "no healthy instance")
        assert seen(demo, "hello-run", VM, within=QUIET) is None
        assert demo.json("status")["connectors"][0]["state"] == "READY"
    eventually(lambda: set(health(demo)) == {"healthy"}, "healthy instances")
    assert seen(demo, "hello-run", VM) is not None


@pytest.mark.behaviour("1.7.5", "1.7.6")
def test_a_create_under_such_a_rule_fails_with_googles_text(demo: Program) -> None:
    """Behaviour 1.7.5 (code 13, state ERROR), 1.7.7; the rest of the testbed is as it should be."""
    topology = _denying(PROBERS, example(demo.name))
    topology["vpcaccess"]["connectors"].append(_connector("c3", "10.8.3.0/28"))
    result = demo.up(topology, check=False)
    assert result.returncode == 70
    assert "VPC Access connector failed to get healthy" in result.stderr
    states = {row["name"]: row["state"] for row in demo.json("status")["connectors"]}
    assert states == {"c1": "READY", "c3": "ERROR"}

    topology["compute"]["firewalls"].pop()
    demo.up(topology)
    states = {row["name"]: row["state"] for row in demo.json("status")["connectors"]}
    assert states == {"c1": "READY", "c3": "READY"}
