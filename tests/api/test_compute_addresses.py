"""compute: reserved addresses of a region, and ranges for private services access."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from testbed.fabric.allocation.addressing import EXTERNAL_POOL
from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
US = f"{P}/regions/us-central1"
RANGES = f"{P}/global/addresses"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post(f"{P}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    subnet = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"}
    api.post(f"{US}/subnetworks", subnet)


def reserve(api: Api, name: str, **fields: Any) -> dict[str, Any]:
    done = api.post(f"{US}/addresses", {"name": name, **fields})
    assert done["status"] == "DONE"
    return api.get(f"{US}/addresses/{name}")


def test_an_external_address_is_reserved_until_it_is_used(api: Api) -> None:
    made = reserve(api, "a")
    assert (made["status"], made["addressType"], made["networkTier"]) == ("RESERVED", "EXTERNAL", "PREMIUM")
    assert IPv4Address(made["address"]) in EXTERNAL_POOL
    assert reserve(api, "b")["address"] != made["address"]
    nat = {"name": "nat", "natIpAllocateOption": "MANUAL_ONLY", "natIps": [made["selfLink"]]}
    api.post(f"{US}/routers", {"name": "r", "network": "global/networks/vpc", "nats": [nat]})
    used = api.get(f"{US}/addresses/a")
    assert (used["status"], used["users"]) == ("IN_USE", [f"{LINK}/regions/us-central1/routers/r"])
    with pytest.raises(Refused, match="is already being used by"):
        api.delete(f"{US}/addresses/a")
    api.delete(f"{US}/addresses/b")


def test_an_internal_address_is_of_its_subnet(api: Api) -> None:
    subnetwork = "regions/us-central1/subnetworks/us"
    given = reserve(api, "given", addressType="INTERNAL", subnetwork=subnetwork, address="10.0.0.9")
    assert (given["address"], given["purpose"]) == ("10.0.0.9", "GCE_ENDPOINT")
    assert given["subnetwork"] == f"{LINK}/regions/us-central1/subnetworks/us"
    picked = reserve(api, "picked", addressType="INTERNAL", subnetwork=subnetwork)
    assert IPv4Address(picked["address"]) in IPv4Network("10.0.0.0/24")
    assert picked["address"] != "10.0.0.9"
    for address, said in {"10.0.0.1": "usable", "10.1.0.9": "usable", "10.0.0.9": "already being used"}.items():
        with pytest.raises(Refused, match=said):
            reserve(api, "other", addressType="INTERNAL", subnetwork=subnetwork, address=address)


def test_labels_are_kept(api: Api) -> None:
    made = reserve(api, "a")
    body = {"labels": {"env": "test"}, "labelFingerprint": made["labelFingerprint"]}
    api.post(f"{US}/addresses/a/setLabels", body)
    assert api.get(f"{US}/addresses/a")["labels"] == {"env": "test"}
    with pytest.raises(Refused) as caught:
        api.post(f"{US}/addresses/a/setLabels", body)
    assert caught.value.code == 412


def psa(name: str, **fields: Any) -> dict[str, Any]:
    whole = {"name": name, "addressType": "INTERNAL", "purpose": "VPC_PEERING", "network": "global/networks/vpc"}
    return {**whole, **fields}


@pytest.mark.behaviour("4.9.3")
def test_a_range_is_set_aside_for_private_services(api: Api) -> None:
    for name in ("one", "two"):
        api.post(RANGES, psa(name, prefixLength=16))
    one, two = (api.get(f"{RANGES}/{name}") for name in ("one", "two"))
    assert one["selfLink"] == f"{LINK}/global/addresses/one"
    assert "region" not in one
    ranges = [IPv4Network(f"{made['address']}/{made['prefixLength']}") for made in (one, two)]
    assert not ranges[0].overlaps(ranges[1])
    assert not any(cidr.overlaps(IPv4Network("10.0.0.0/24")) for cidr in ranges)
    listed = api.get(f"{P}/aggregated/addresses")["items"]["global"]["addresses"]
    assert [made["name"] for made in listed] == ["one", "two"]
    subnet = {"name": "s", "network": "global/networks/vpc", "ipCidrRange": f"{one['address']}/24"}
    with pytest.raises(Refused, match="that was allocated by resource projects/demo/global/addresses/one"):
        api.post(f"{US}/subnetworks", subnet)
    api.delete(f"{RANGES}/one")
    api.post(f"{US}/subnetworks", subnet)


def test_global_addresses_of_load_balancers_are_refused(api: Api) -> None:
    with pytest.raises(Refused, match="load balancers") as caught:
        api.post(RANGES, {"name": "lb"})
    assert caught.value.code == 501
    with pytest.raises(Refused, match="prefixLength"):
        api.post(RANGES, psa("x"))


def instance(api: Api, name: str, **nic: Any) -> dict[str, Any]:
    nics = [{"subnetwork": "regions/us-central1/subnetworks/us", **nic}]
    disks = [
        {"boot": True, "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}
    ]
    body = {"name": name, "machineType": "zones/us-central1-a/machineTypes/e2-micro", "disks": disks}
    api.post(f"{P}/zones/us-central1-a/instances", {**body, "networkInterfaces": nics})
    api.settle()
    found: dict[str, Any] = api.get(f"{P}/zones/us-central1-a/instances/{name}")["networkInterfaces"][0]
    return found


@pytest.mark.parametrize("kind", ["EXTERNAL", "INTERNAL"])
def test_an_ephemeral_address_of_a_running_instance_is_promoted(api: Api, kind: str) -> None:
    """It stays the instance's, and after that it is reserved."""
    nic = instance(api, "vm", accessConfigs=[{"name": "External NAT"}])
    address = nic["networkIP"] if kind == "INTERNAL" else nic["accessConfigs"][0]["natIP"]
    where = (
        {"addressType": "INTERNAL", "subnetwork": "regions/us-central1/subnetworks/us"} if kind == "INTERNAL" else {}
    )
    made = reserve(api, "kept", address=address, **where)
    assert (made["status"], made["users"]) == ("IN_USE", [f"{LINK}/zones/us-central1-a/instances/vm"])
    api.settle()
    now = api.get(f"{P}/zones/us-central1-a/instances/vm")["networkInterfaces"][0]
    assert (now["networkIP"], now["accessConfigs"][0]["natIP"]) == (nic["networkIP"], nic["accessConfigs"][0]["natIP"])
    other = instance(api, "other", accessConfigs=[{"name": "External NAT"}])
    assert address not in {other["networkIP"], other["accessConfigs"][0]["natIP"]}
    api.delete(f"{P}/zones/us-central1-a/instances/vm")
    api.settle()
    left = api.get(f"{US}/addresses/kept")
    assert (left["status"], left["address"]) == ("RESERVED", address)


def test_an_address_of_something_else_is_not_promoted(api: Api) -> None:
    taken = reserve(api, "a")["address"]
    done = api.post(f"{US}/addresses", {"name": "b", "address": taken})
    assert "already being used" in done["error"]["errors"][0]["message"]


def test_an_instance_takes_a_reserved_internal_address_by_its_url(api: Api) -> None:
    where = {"addressType": "INTERNAL", "subnetwork": "regions/us-central1/subnetworks/us"}
    given, chosen = reserve(api, "given", address="10.0.0.77", **where), reserve(api, "chosen", **where)
    for address in (given, chosen):
        assert instance(api, f"vm-{address['name']}", networkIP=address["selfLink"])["networkIP"] == address["address"]
        assert api.get(f"{US}/addresses/{address['name']}")["status"] == "IN_USE"
    with pytest.raises(Refused, match="was not found"):
        instance(api, "none", networkIP=f"{given['selfLink']}x")
