"""servicenetworking: private connections are kept, by the rules for their ranges (behaviour 4.9.3)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.json_object import Json
from testbed.model.core.projects import project_number
from tests.api.harness import Api, Refused

SERVICE = "services/servicenetworking.googleapis.com"
CONNECTIONS = f"v1/{SERVICE}/connections"
FULL = "projects/demo/global/networks/vpc"
NETWORK = f"projects/{project_number('demo')}/global/networks/vpc"


ADDRESSES = "compute/v1/projects/demo/global/addresses"


def reserve(api: Api, name: str, address: str | None = None, prefix: int = 24, network: str = FULL) -> None:
    given = {} if address is None else {"address": address}
    body = {"name": name, "purpose": "VPC_PEERING", "network": network, "prefixLength": prefix, **given}
    api.post(ADDRESSES, {**body, "addressType": "INTERNAL"})


@pytest.fixture(autouse=True)
def ranges(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    for name in ("a", "b"):
        reserve(api, name, f"10.{ord(name)}.0.0")


def connect(api: Api, *names: str, network: str = NETWORK) -> Json:
    return api.post(CONNECTIONS, {"network": network, "reservedPeeringRanges": list(names)})


def connections(api: Api, **query: Any) -> list[Json]:
    found: list[Json] = api.get(CONNECTIONS, network=NETWORK, **query).get("connections", [])
    return found


def test_a_connection_is_kept(api: Api) -> None:
    done = connect(api, "a")
    assert done["done"] is True
    assert api.get(f"v1/{done['name']}") == done
    expected = {
        "network": NETWORK,
        "service": SERVICE,
        "peering": "servicenetworking-googleapis-com",
        "reservedPeeringRanges": ["a"],
    }
    assert connections(api) == [expected]
    assert api.get("v1/services/-/connections", network=FULL)["connections"] == [expected]
    assert api.get("v1/services/other/connections", network=FULL) == {}


def test_another_creation_does_not_change_the_ranges(api: Api) -> None:
    connect(api, "a")
    assert "error" not in connect(api, "a")
    assert "error" not in connect(api)
    error = connect(api, "a", "b")["error"]
    assert error == {
        "code": 9,
        "message": "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection.",
    }
    assert connections(api)[0]["reservedPeeringRanges"] == ["a"]


def test_an_update_takes_ranges_away_by_force_only(api: Api) -> None:
    connect(api, "a")
    api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["a", "b"]})
    with pytest.raises(Refused, match="ranges a: this would remove them"):
        api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["b"]})
    api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["b"]}, force="true")
    assert connections(api)[0]["reservedPeeringRanges"] == ["b"]


def test_deletion(api: Api) -> None:
    connect(api, "a")
    done = api.post(f"{CONNECTIONS}/servicenetworking-googleapis-com", {"consumerNetwork": NETWORK})
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert connections(api) == []
    with pytest.raises(Refused, match="not found"):
        api.post(f"{CONNECTIONS}/-", {"consumerNetwork": NETWORK})


def redis(api: Api, name: str = "r1", **fields: Any) -> Json:
    body = {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": FULL, "connectMode": "PRIVATE_SERVICE_ACCESS"}
    return api.post("v1/projects/demo/locations/us-central1/instances", {**body, **fields}, instanceId=name)


def test_what_instances_use_stays(api: Api) -> None:
    connect(api, "a", "b")
    redis(api, reservedIpRange="b")
    error = api.post(f"{CONNECTIONS}/servicenetworking-googleapis-com", {"consumerNetwork": NETWORK})["error"]
    assert error["code"] == 9
    assert error["message"].startswith("Failed to delete connection; Producer services")
    with pytest.raises(Refused, match=r"range b: projects/demo/locations/us-central1/instances/r1 uses it"):
        api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["a"]}, force="true")
    api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["b"]}, force="true")
    with pytest.raises(Refused, match="is already being used by"):
        api.delete(f"{ADDRESSES}/b")
    with pytest.raises(Refused, match="is already being used by"):
        api.delete("compute/v1/projects/demo/global/networks/vpc")


@pytest.mark.behaviour("4.9.3", "4.9.9")
def test_a_connection_is_a_peering_of_its_network(api: Api) -> None:
    networks = "compute/v1/projects/demo/global/networks"
    connect(api, "a")
    redis(api)
    (peering,) = api.get(f"{networks}/vpc")["peerings"]
    assert (peering["name"], peering["state"]) == ("servicenetworking-googleapis-com", "ACTIVE")
    assert peering["network"].endswith("-tp/global/networks/servicenetworking")
    assert not peering["exportCustomRoutes"]
    asked = {"networkPeering": {"name": peering["name"], "exportCustomRoutes": True}}
    api.patch(f"{networks}/vpc/updatePeering", asked)
    assert api.get(f"{networks}/vpc")["peerings"][0]["exportCustomRoutes"]
    assert "exportCustomRoutes" not in connections(api)[0]
    api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["a", "b"]})
    assert api.get(f"{networks}/vpc")["peerings"][0]["exportCustomRoutes"]
    found = api.get(f"{networks}/vpc/listPeeringRoutes", peeringName=peering["name"], direction="INCOMING")["items"]
    assert [(one["destRange"], one["imported"]) for one in found] == [("10.97.0.0/29", True)]
    routes = api.get("compute/v1/projects/demo/global/routes")["items"]
    assert "10.97.0.0/29" in [one["destRange"] for one in routes if one.get("nextHopPeering") == peering["name"]]
    with pytest.raises(Refused, match="belongs to a private connection"):
        api.post(f"{networks}/vpc/removePeering", {"name": peering["name"]})
    with pytest.raises(Refused, match="already has a peering"):
        api.post(f"{networks}/vpc/addPeering", {"name": peering["name"], "peerNetwork": f"{networks}/x"})


def test_connections_that_cannot_be(api: Api) -> None:
    with pytest.raises(Refused, match="'c': it is not a range"):
        connect(api, "c")
    with pytest.raises(Refused, match="must have at least one"):
        connect(api)
    with pytest.raises(Refused, match="network 'vpc'"):
        connect(api, "a", network="vpc")
    with pytest.raises(Refused) as caught:
        connect(api, "a", network=f"{NETWORK}2")
    assert caught.value.code == 404
    api.post("compute/v1/projects/demo/global/networks", {"name": "other", "autoCreateSubnetworks": False})
    reserve(api, "d", network="projects/demo/global/networks/other")
    with pytest.raises(Refused, match="'d': it is not a range"):
        connect(api, "d")


def test_an_update_by_force_makes_the_connection(api: Api) -> None:
    body = {"network": NETWORK, "reservedPeeringRanges": ["a"]}
    with pytest.raises(Refused, match="not found"):
        api.patch(f"{CONNECTIONS}/-", body)
    assert api.patch(f"{CONNECTIONS}/-", body, force="true")["done"] is True
    (made,) = connections(api)
    assert (made["service"], made["reservedPeeringRanges"]) == ("services/servicenetworking.googleapis.com", ["a"])
