"""compute: VPC Network Peering (behaviour 4.5)."""

from __future__ import annotations

import pytest

from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
NETWORKS = f"{P}/global/networks"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"


@pytest.fixture(autouse=True)
def networks(api: Api) -> None:
    for index, name in enumerate(("a", "b", "c")):
        api.post(NETWORKS, {"name": name, "autoCreateSubnetworks": False, "mtu": 1460 + 20 * index})
        body = {"name": name, "network": f"global/networks/{name}", "ipCidrRange": f"10.{index}.0.0/24"}
        api.post(f"{P}/regions/us-central1/subnetworks", body)


def peer(api: Api, mine: str, theirs: str, **fields: object) -> None:
    body = {"name": f"to-{theirs}", "network": f"{LINK}/global/networks/{theirs}", **fields}
    done = api.post(f"{NETWORKS}/{mine}/addPeering", {"networkPeering": body})
    assert (done["operationType"], done["targetLink"]) == ("addPeering", f"{LINK}/global/networks/{mine}")


@pytest.mark.behaviour("4.5.1", "4.5.2")
def test_a_peering_is_active_when_both_sides_are_there(api: Api) -> None:
    peer(api, "a", "b")
    (mine,) = api.get(f"{NETWORKS}/a")["peerings"]
    assert (mine["state"], mine["network"]) == ("INACTIVE", f"{LINK}/global/networks/b")
    assert "Waiting" in mine["stateDetails"]
    peer(api, "b", "a")
    (mine,) = api.get(f"{NETWORKS}/a")["peerings"]
    assert (mine["state"], mine["peerMtu"], mine["importCustomRoutes"]) == ("ACTIVE", 1480, False)  # behaviour 4.5.2
    api.post(f"{NETWORKS}/b/removePeering", {"name": "to-a"})
    assert api.get(f"{NETWORKS}/a")["peerings"][0]["state"] == "INACTIVE"
    assert "peerings" not in api.get(f"{NETWORKS}/b")


def test_an_old_body_is_read(api: Api) -> None:
    api.post(f"{NETWORKS}/a/addPeering", {"name": "p", "peerNetwork": "global/networks/b", "autoCreateRoutes": True})
    assert api.get(f"{NETWORKS}/a")["peerings"][0]["name"] == "p"


def test_a_network_has_one_peering_of_a_name_and_to_a_network(api: Api) -> None:
    peer(api, "a", "b")
    with pytest.raises(Refused) as caught:
        peer(api, "a", "b")
    assert caught.value.code == 409
    for body in ({"name": "other", "network": "global/networks/b"}, {"name": "self", "network": "global/networks/a"}):
        with pytest.raises(Refused) as caught:
            api.post(f"{NETWORKS}/a/addPeering", {"networkPeering": body})
        assert caught.value.code == 400
    with pytest.raises(Refused) as caught:
        api.post(f"{NETWORKS}/a/removePeering", {"name": "none"})
    assert caught.value.code == 404


@pytest.mark.behaviour("4.5.5")
def test_ranges_of_peers_do_not_overlap(api: Api) -> None:
    body = {"name": "same", "network": "global/networks/c", "ipCidrRange": "10.0.0.0/24"}
    api.post(f"{P}/regions/us-central1/subnetworks", body)
    peer(api, "a", "c")
    with pytest.raises(Refused, match="An IP range in the peer network") as caught:
        peer(api, "c", "a")
    assert caught.value.code == 400
    assert "peerings" not in api.get(f"{NETWORKS}/c")


@pytest.mark.behaviour("4.5.5")
def test_two_peers_of_one_network_do_not_overlap_either(api: Api) -> None:
    for mine, theirs in (("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")):
        peer(api, mine, theirs)
    body = {"name": "same", "network": "global/networks/c", "ipCidrRange": "10.0.0.0/24"}
    with pytest.raises(Refused, match="An IP range in the peer network"):
        api.post(f"{P}/regions/us-central1/subnetworks", body)


@pytest.mark.behaviour("4.4.8", "4.5.6")
def test_legacy_networks_cannot_peer(api: Api) -> None:
    api.post(NETWORKS, {"name": "old", "IPv4Range": "10.240.0.0/16"})
    with pytest.raises(Refused, match="a legacy network has neither subnets nor peerings"):
        peer(api, "old", "a")


@pytest.mark.behaviour("4.5.3", "4.3.6")
def test_routes_with_tags_are_not_exchanged(api: Api) -> None:
    peer(api, "a", "b", exportCustomRoutes=True)
    peer(api, "b", "a", importCustomRoutes=True)
    common = {"network": "global/networks/a", "nextHopIp": "10.0.0.9"}
    for index, tags in enumerate(([], ["web"])):
        route = {"name": f"r{index}", "destRange": f"172.{index}.0.0/16", "tags": tags}
        api.post(f"{P}/global/routes", {**route, **common})
    answer = api.get(f"{NETWORKS}/b/listPeeringRoutes", peeringName="to-a", direction="INCOMING", region="us-central1")
    assert {one["destRange"] for one in answer["items"]} == {"10.0.0.0/24", "172.0.0.0/16"}


@pytest.mark.behaviour("4.5.3")
def test_static_routes_are_exchanged_if_both_sides_want_it(api: Api) -> None:
    peer(api, "a", "b", exportCustomRoutes=True)
    peer(api, "b", "a")
    route = {"name": "r", "network": "global/networks/a", "destRange": "172.16.0.0/16", "nextHopIp": "10.0.0.9"}
    api.post(f"{P}/global/routes", route)

    def incoming() -> dict[str, bool]:
        query = {"peeringName": "to-a", "direction": "INCOMING", "region": "us-central1"}
        answer = api.get(f"{NETWORKS}/b/listPeeringRoutes", **query)
        return {one["destRange"]: one["imported"] for one in answer["items"]}

    assert incoming() == {"10.0.0.0/24": True, "172.16.0.0/16": False}
    done = api.patch(f"{NETWORKS}/b/updatePeering", {"networkPeering": {"name": "to-a", "importCustomRoutes": True}})
    assert done["operationType"] == "updatePeering"
    assert incoming()["172.16.0.0/16"] is True
    names = {r["destRange"]: r["name"] for r in api.get(f"{P}/global/routes")["items"] if "nextHopPeering" in r}
    assert names.keys() == {"10.0.0.0/24", "172.16.0.0/16", "10.1.0.0/24"}
