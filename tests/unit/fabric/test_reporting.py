"""Whether a new connector's instances can report to Google, by the routes of its network (behaviour 1.7.6)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.fabric.serverless.reporting import can_report
from tests.unit.topologies import connector, network, topology
from tests.unit.topologies import subnet as small

GATEWAY = "default-internet-gateway"
PRIVATE = "199.36.153.8/30"


def reports(routes: list[dict[str, Any]], *, default: bool = False, subnet: dict[str, Any] | None = None) -> bool:
    """For a connector with a range of its own, or in a subnet like this."""
    named = connector() if subnet is None else {"name": "c1", "subnet": {"name": "s"}}
    made = topology(
        compute={
            "networks": [{**network(), "deleteDefaultRoutesOnCreate": not default}, network("other")],
            "subnetworks": [] if subnet is None else [small("s", "10.8.0.0/28", **subnet)],
            "routes": [{"name": f"r{i}", "network": "vpc", **route} for i, route in enumerate(routes)],
        },
        vpcaccess={"connectors": [named]},
    )
    [found] = made.vpcaccess.connectors
    return can_report(made, found)


@pytest.mark.behaviour("1.7.6")
@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ([], False),
        ([{"destRange": "0.0.0.0/0", "nextHopGateway": GATEWAY}], True),
        ([{"destRange": PRIVATE, "nextHopGateway": GATEWAY}], True),
        ([{"destRange": "199.36.153.0/24", "nextHopGateway": GATEWAY}], True),
        ([{"destRange": "199.36.153.4/30", "nextHopGateway": GATEWAY}], False),
        ([{"destRange": "0.0.0.0/0", "nextHopIp": "10.8.0.1"}], False),
        ([{"destRange": "0.0.0.0/0", "nextHopGateway": GATEWAY, "tags": ["web"]}], False),
        ([{"destRange": "0.0.0.0/0", "nextHopGateway": GATEWAY, "tags": ["web", "vpc-connector"]}], True),
        ([{"destRange": "0.0.0.0/0", "nextHopGateway": GATEWAY, "network": "other"}], False),
    ],
)
def test_the_routes_that_it_takes(routes: list[dict[str, Any]], found: bool) -> None:
    assert reports(routes) is found


@pytest.mark.behaviour("1.7.6")
def test_the_default_route_is_enough_for_any_subnet() -> None:
    assert reports([], default=True)
    assert reports([], default=True, subnet={"privateIpGoogleAccess": False})


@pytest.mark.behaviour("1.7.6", "1.6.5")
@pytest.mark.parametrize("access", [True, False])
def test_the_private_addresses_need_private_google_access(access: bool) -> None:
    routes = [{"destRange": PRIVATE, "nextHopGateway": GATEWAY}]
    assert reports(routes, subnet={"privateIpGoogleAccess": access}) is access
