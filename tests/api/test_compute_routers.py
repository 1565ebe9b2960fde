"""compute: Cloud Routers and Cloud NAT (behaviour 4.11, 4.13)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
US = f"{P}/regions/us-central1"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post(f"{P}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    subnet = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"}
    api.post(f"{US}/subnetworks", subnet)


def make(api: Api, name: str = "r", **fields: Any) -> dict[str, Any]:
    api.post(f"{US}/routers", {"name": name, "network": f"{LINK}/global/networks/vpc", **fields})
    return api.get(f"{US}/routers/{name}")


def test_a_router_may_do_nothing(api: Api) -> None:
    made = make(api)
    assert (made["network"], made["region"]) == (f"{LINK}/global/networks/vpc", f"{LINK}/regions/us-central1")
    assert "bgp" not in made
    status = api.get(f"{US}/routers/r/getRouterStatus")
    assert status["result"] == {"network": f"{LINK}/global/networks/vpc"}


@pytest.mark.behaviour("4.11.5")
def test_bgp_is_kept_and_is_down(api: Api) -> None:
    peer = {"name": "p", "peerAsn": 65001, "ipAddress": "169.254.0.1", "peerIpAddress": "169.254.0.2"}
    made = make(api, bgp={"asn": 64514}, bgpPeers=[peer])
    assert made["bgp"] == {"asn": 64514, "advertiseMode": "DEFAULT", "keepaliveInterval": 20}
    (status,) = api.get(f"{US}/routers/r/getRouterStatus")["result"]["bgpPeerStatus"]
    assert (status["name"], status["status"]) == ("p", "DOWN")
    with pytest.raises(Refused, match=r"resource\.bgp\.asn': '15169'.*RFC 6996"):
        make(api, "bad", bgp={"asn": 15169})


@pytest.mark.behaviour("4.13.1")
def test_nat_gateways_have_addresses(api: Api) -> None:
    connector = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    api.post("v1/projects/demo/locations/us-central1/connectors", connector, connectorId="c1")
    make(api, nats=[{"name": "nat"}])
    (nat,) = api.get(f"{US}/routers/r")["nats"]
    assert (nat["natIpAllocateOption"], nat["type"]) == ("AUTO_ONLY", "PUBLIC")
    (auto,) = api.get(f"{US}/routers/r/getRouterStatus")["result"]["natStatus"]
    assert auto["numVmEndpointsWithNatMappings"] == 2  # the connector's instances
    (address,) = auto["autoAllocatedNatIps"]
    mapped = api.get(f"{US}/routers/r/getNatMappingInfo")["result"]
    assert [one["instanceName"] for one in mapped] == ["c1-0001", "c1-0002"]
    ports = [one["interfaceNatMappings"][0]["natIpPortRanges"] for one in mapped]
    assert all(found.startswith(f"{address}:") for (found,) in ports)
    assert ports[0] != ports[1]
    assert mapped[0]["interfaceNatMappings"][0]["numTotalNatPorts"] == 64


def test_a_nat_gateway_may_have_several_addresses(api: Api) -> None:
    for name in ("a", "b"):
        api.post(f"{US}/addresses", {"name": name})
    given = {api.get(f"{US}/addresses/{name}")["address"] for name in ("a", "b")}
    links = [f"{LINK}/regions/us-central1/addresses/{name}" for name in ("a", "b")]
    make(api)
    nat = {"name": "nat", "natIpAllocateOption": "MANUAL_ONLY", "natIps": links}
    api.patch(f"{US}/routers/r", {"nats": [nat]})
    (status,) = api.get(f"{US}/routers/r/getRouterStatus")["result"]["natStatus"]
    assert set(status["userAllocatedNatIps"]) == given
    assert status["userAllocatedNatIpResources"] == links
    (info,) = api.get(f"{US}/routers/r/getNatIpInfo")["result"]
    assert {one["natIp"] for one in info["natIpInfoMappings"]} == given
    assert api.get(f"{US}/routers/r/getNatMappingInfo")["result"] == []
    api.patch(f"{US}/routers/r", {"nats": []})
    assert "natStatus" not in api.get(f"{US}/routers/r/getRouterStatus")["result"]


@pytest.mark.behaviour("4.13.2", "4.13.3")
def test_addresses_that_do_not_suffice_are_missed(api: Api) -> None:
    connector = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 3, "maxInstances": 4}
    api.post("v1/projects/demo/locations/us-central1/connectors", connector, connectorId="c1")
    api.post(f"{US}/addresses", {"name": "a"})
    nat = {"name": "nat", "natIpAllocateOption": "MANUAL_ONLY", "natIps": [f"{LINK}/regions/us-central1/addresses/a"]}
    make(api, nats=[{**nat, "minPortsPerVm": 32768}])
    (status,) = api.get(f"{US}/routers/r/getRouterStatus")["result"]["natStatus"]
    assert (status["numVmEndpointsWithNatMappings"], status["minExtraNatIpsNeeded"]) == (1, 2)
    (mapped,) = api.get(f"{US}/routers/r/getNatMappingInfo")["result"]
    assert mapped["interfaceNatMappings"][0]["natIpPortRanges"][0].endswith(":1024-33791")


@pytest.mark.parametrize(
    ("nats", "said"),
    [
        ([{"name": "n", "type": "PRIVATE"}], r"resource\.nats\[0\]\.type"),
        ([{"name": "n", "natIpAllocateOption": "MANUAL_ONLY"}], "natIps must be given"),
        ([{"name": "n", "rules": [{"ruleNumber": 1, "match": "true"}]}], "no rules yet"),
        ([{"name": "n"}, {"name": "n"}], "the same name"),
        ([{"name": "n"}, {"name": "m"}], "subnetwork us has NAT gateway n already"),
    ],
)
def test_what_cannot_be_is_refused(api: Api, nats: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        make(api, nats=nats)
    assert caught.value.code == 400
    assert api.get(f"{P}/aggregated/routers")["items"]["regions/us-central1"].keys() == {"warning"}


def test_a_preview_changes_nothing(api: Api) -> None:
    make(api)
    shown = api.post(f"{US}/routers/r/preview", {"nats": [{"name": "nat"}]})
    assert [nat["name"] for nat in shown["resource"]["nats"]] == ["nat"]
    assert "nats" not in api.get(f"{US}/routers/r")
