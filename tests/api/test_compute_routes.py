"""compute: static routes, and those that come with networks and subnets (behaviour 4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
ROUTES = f"{P}/global/routes"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post(f"{P}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    subnet = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"}
    api.post(f"{P}/regions/us-central1/subnetworks", subnet)


def route(name: str = "r", **fields: Any) -> dict[str, Any]:
    return {"name": name, "network": f"{LINK}/global/networks/vpc", "destRange": "172.16.0.0/16", **fields}


def system(api: Api) -> dict[str, dict[str, Any]]:
    return {one["destRange"]: one for one in api.get(ROUTES).get("items", ()) if "default-route" in one["name"]}


def to_the_internet(api: Api) -> bool:
    """Whether the network has a way out in what would be made."""
    assert api.kernel.plan is not None
    (space,) = (space for space in api.kernel.plan.namespaces if space.name == "vpc-vpc")
    return any(one.destination == "0.0.0.0/0" for one in space.routes)


@pytest.mark.behaviour("4.3.2", "4.3.3")
def test_networks_and_subnets_bring_routes(api: Api) -> None:
    found = system(api)
    assert found.keys() == {"0.0.0.0/0", "10.0.0.0/24"}
    assert found["0.0.0.0/0"]["nextHopGateway"] == f"{LINK}/global/gateways/default-internet-gateway"
    assert found["0.0.0.0/0"]["priority"] == 1000
    assert found["10.0.0.0/24"]["nextHopNetwork"] == f"{LINK}/global/networks/vpc"
    assert api.get(f"{ROUTES}/{found['10.0.0.0/24']['name']}") == found["10.0.0.0/24"]
    (only,) = api.get(ROUTES, filter='destRange="0.0.0.0/0"')["items"]
    assert only == found["0.0.0.0/0"]


@pytest.mark.behaviour("4.3.3")
def test_the_default_route_can_be_deleted_and_made_anew(api: Api) -> None:
    name = system(api)["0.0.0.0/0"]["name"]
    assert to_the_internet(api)
    done = api.delete(f"{ROUTES}/{name}")
    assert (done["operationType"], done["targetLink"]) == ("delete", f"{LINK}/global/routes/{name}")
    assert not to_the_internet(api)
    with pytest.raises(Refused) as caught:
        api.get(f"{ROUTES}/{name}")
    assert caught.value.code == 404
    assert "deleteDefaultRoutesOnCreate" not in api.get(f"{P}/global/networks/vpc")
    api.post(ROUTES, route(destRange="0.0.0.0/0", nextHopGateway="global/gateways/default-internet-gateway"))
    assert to_the_internet(api)
    api.delete(f"{ROUTES}/r")
    assert not to_the_internet(api)


@pytest.mark.behaviour("4.3.5", "4.4.1")
def test_no_subnet_comes_where_a_route_leads(api: Api) -> None:
    """Whichever was there first, no route leads into a subnet."""
    api.post(ROUTES, route(nextHopIp="10.0.0.2", destRange="10.50.1.0/24"))
    body = {"name": "later", "network": "global/networks/vpc", "ipCidrRange": "10.50.0.0/16"}
    with pytest.raises(Refused, match="hides the address space of the network"):
        api.post(f"{P}/regions/us-central1/subnetworks", body)
    api.post(f"{P}/regions/us-central1/subnetworks", {**body, "ipCidrRange": "10.50.1.0/28"})


@pytest.mark.behaviour("4.3.5", "4.5.2")
def test_no_peering_comes_with_subnets_where_a_route_leads(api: Api) -> None:
    api.post(f"{P}/global/networks", {"name": "other", "autoCreateSubnetworks": False})
    body = {"name": "theirs", "network": "global/networks/other", "ipCidrRange": "10.50.0.0/16"}
    api.post(f"{P}/regions/us-central1/subnetworks", body)
    api.post(ROUTES, route(nextHopIp="10.0.0.2", destRange="10.50.1.0/24"))
    peering = {"name": "p", "network": "global/networks/other", "exchangeSubnetRoutes": True}
    api.post(f"{P}/global/networks/vpc/addPeering", {"networkPeering": peering})
    peering["network"] = "global/networks/vpc"
    with pytest.raises(Refused, match="hides the address space of the network"):
        api.post(f"{P}/global/networks/other/addPeering", {"networkPeering": peering})


@pytest.mark.behaviour("4.3.4")
def test_tags_are_names(api: Api) -> None:
    with pytest.raises(Refused, match="tags"):
        api.post(ROUTES, route(nextHopIp="10.0.0.2", tags=["No Tag"]))


def test_a_route_has_no_ipv6(api: Api) -> None:
    with pytest.raises(Refused, match="Must be a valid IPV4 CIDR address range"):
        api.post(ROUTES, route(nextHopIp="10.0.0.2", destRange="2001:db8::/32"))


@pytest.mark.behaviour("4.3.2")
def test_a_subnet_route_cannot_be_deleted(api: Api) -> None:
    with pytest.raises(Refused, match="local route"):
        api.delete(f"{ROUTES}/{system(api)['10.0.0.0/24']['name']}")


@pytest.mark.behaviour("4.3.4", "4.3.5")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "exactly one of nextHopGateway"),  # behaviour 4.3.4
        ({"nextHopIp": "10.0.0.2", "nextHopGateway": "default-internet-gateway"}, "exactly one of nextHopGateway"),
        ({"nextHopIlb": "10.0.0.2"}, "nextHopIlb: the testbed has no internal load balancers"),
        (
            {"nextHopIp": "10.0.0.2", "destRange": "10.0.0.0/25"},
            "hides the address space of",
        ),  # behaviour 4.3.5
        ({"nextHopInstance": "zones/us-central1-a/instances/none"}, "was not found"),
    ],
)
def test_a_route_that_breaks_a_rule_is_refused(api: Api, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        api.post(ROUTES, route(**fields))
    assert caught.value.code in {400, 404}


def test_a_static_route_is_there_until_it_is_deleted(api: Api) -> None:
    api.post(ROUTES, route(nextHopIp="10.0.0.2", tags=["vpc-connector"]))
    made = api.get(f"{ROUTES}/r")
    assert (made["priority"], made["routeType"], made["nextHopIp"]) == (1000, "STATIC", "10.0.0.2")
    assert made["tags"] == ["vpc-connector"]
    api.delete(f"{P}/regions/us-central1/subnetworks/us")
    with pytest.raises(Refused, match="is already being used by 'projects/demo/global/routes/r'"):
        api.delete(f"{P}/global/networks/vpc")
    assert api.delete(f"{ROUTES}/r")["status"] == "DONE"
