"""What peerings, NAT gateways and the default route of a network become (behaviour 4.3, 4.5, 4.13)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.fabric.plan import Plan
from testbed.model.core.places import AUTO_SUBNETS
from testbed.model.topology import Topology
from tests.unit.topologies import compute, network, plan, space, subnet, topology, vm

Data = dict[str, Any]
OTHER = {**subnet("there", "10.2.0.0/24"), "network": "other"}
STATIC = {"name": "r", "network": "vpc", "destRange": "172.16.0.0/16", "nextHopInstance": "a"}


def destinations(of: Plan, name: str, *, via: str | None = None) -> set[str]:
    """The ranges that a network has a way to, by one device or by any."""
    found = {route for route in space(of, name).routes if route.kind == "unicast"}
    return {route.destination for route in found if via in (None, route.device)}


def peered(mine: Data, theirs: Data, **collections: list[Data]) -> Topology:
    """Two networks with one side of a peering each."""
    networks = [network("vpc", "other"), network("other", "vpc")]
    networks[0]["peerings"][0] |= mine
    networks[1]["peerings"][0] |= theirs
    return topology(compute=compute(**{"networks": networks, "subnetworks": [subnet(), OTHER], **collections}))


@pytest.mark.behaviour("4.5.3")
@pytest.mark.parametrize(("export", "imported"), [(True, True), (True, False), (False, True), (False, False)])
def test_static_routes_need_both_sides(export: bool, imported: bool) -> None:
    sides = {"exportCustomRoutes": export}, {"importCustomRoutes": imported}
    made = plan(peered(*sides, instances=[vm("a")], routes=[STATIC]))
    assert "10.128.0.0/20" in destinations(made, "vpc-other", via="vpc-vpc")
    assert ("172.16.0.0/16" in destinations(made, "vpc-other", via="vpc-vpc")) == (export and imported)
    passing = [rule for t in space(made, "vpc-vpc").tables for c in t.chains for rule in c.rules if "172.16" in rule]
    assert len(passing) == (2 if export and imported else 0)


@pytest.mark.behaviour("4.3.5")
def test_an_imported_route_comes_after_the_networks_own() -> None:
    sides = {"exportCustomRoutes": True}, {"importCustomRoutes": True}
    machines = [vm("a"), vm("own", "there")]
    own = {**STATIC, "name": "own", "network": "other", "nextHopInstance": "own", "priority": 65535}
    made = plan(peered(*sides, instances=machines, routes=[{**STATIC, "priority": 0}, own]))
    (found,) = (route for route in space(made, "vpc-other").routes if route.destination == "172.16.0.0/16")
    assert found.device == "own"


@pytest.mark.behaviour("4.5.3")
def test_routes_to_the_internet_are_not_exported() -> None:
    sides = {"exportCustomRoutes": True}, {"importCustomRoutes": True}
    route = {**STATIC, "nextHopInstance": None, "nextHopGateway": "default-internet-gateway"}
    made = plan(peered(*sides, routes=[route]))
    assert destinations(made, "vpc-other", via="vpc-vpc") == {"10.128.0.0/20"}


@pytest.mark.behaviour("4.5.2")
@pytest.mark.parametrize(("export", "imported"), [(True, True), (True, False), (False, True)])
def test_privately_used_public_ranges_need_both_sides(export: bool, imported: bool) -> None:
    sides = {"exportSubnetRoutesWithPublicIp": export}, {"importSubnetRoutesWithPublicIp": imported}
    both = peered(*sides, subnetworks=[subnet(), OTHER, subnet("public", "11.0.0.0/24")])
    made = plan(both)
    assert ("11.0.0.0/24" in destinations(made, "vpc-other", via="vpc-vpc")) == (export and imported)


@pytest.mark.behaviour("4.3.3")
def test_without_a_default_route_nothing_leads_to_the_internet() -> None:
    for deleted in (True, False):
        net = {**network(), "deleteDefaultRoutesOnCreate": deleted}
        made = plan(topology(compute=compute(networks=[net])))
        assert ("0.0.0.0/0" in destinations(made, "vpc-vpc")) == (not deleted)


@pytest.mark.behaviour("4.4.7")
def test_an_auto_mode_network_has_all_its_subnets() -> None:
    net = {"name": "vpc", "subnet-mode": "auto"}
    made = topology(compute={"networks": [net]})
    assert {s.region: s.ip_cidr_range for s in made.compute.subnetworks} == AUTO_SUBNETS
    again = topology(compute=made.compute.model_dump(by_alias=True, mode="json"))
    assert len(again.compute.subnetworks) == len(AUTO_SUBNETS)


@pytest.mark.behaviour("2.3.1")
def test_a_connector_of_a_service_project_brings_no_rules() -> None:
    shared = subnet("shared", "10.8.0.0/28")
    name = "projects/{}/locations/us-central1/connectors/c1"
    for project, rules in (("p", True), ("service", False)):
        one = {"name": name.format(project), "subnet": {"name": "shared", "projectId": "p"}}
        made = plan(topology(compute=compute(subnetworks=[subnet(), shared]), vpcaccess={"connectors": [one]}))
        text = str(space(made, "vpc-vpc").tables)
        assert ("aet-uscentral1-c1-hcfw" in text) == rules
