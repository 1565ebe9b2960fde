"""What all of Compute Engine's collections have in common."""

from __future__ import annotations

import pytest

from tests.api.harness import Api, Refused

COMPUTE = "compute/v1/projects"
VPC = {"name": "vpc", "autoCreateSubnetworks": False}


@pytest.mark.parametrize(
    "place", ["zones/moon-a", "zones/us-central1-z", "zones/us-central1", "zones/-a", "regions/moon"]
)
def test_a_place_that_google_has_not_is_refused(api: Api, place: str) -> None:
    with pytest.raises(Refused, match=r"Unknown (zone|region)") as caught:
        api.get(f"{COMPUTE}/demo/{place}/{'instances' if 'zones' in place else 'subnetworks'}")
    assert caught.value.code == 400


def test_a_number_is_one_of_the_project_that_is_asked(api: Api) -> None:
    api.post(f"{COMPUTE}/demo/global/networks", VPC)
    number = api.get(f"{COMPUTE}/demo/global/networks/vpc")["id"]
    assert api.get(f"{COMPUTE}/demo/global/networks/{number}")["name"] == "vpc"
    with pytest.raises(Refused) as caught:
        api.get(f"{COMPUTE}/other/global/networks/{number}")
    assert caught.value.code == 404


PATCHED = ("global/networks", "global/firewalls", "regions/us-central1/subnetworks", "regions/us-central1/routers")


@pytest.mark.parametrize("where", [*PATCHED, "global/firewallPolicies", "regions/us-central1/firewallPolicies"])
def test_null_in_a_patch_removes_a_field(api: Api, where: str) -> None:
    """Compute's patches are JSON merge patches (RFC 7396); there are no field masks."""
    api.post(f"{COMPUTE}/demo/global/networks", VPC)
    own: dict[str, dict[str, object]] = {
        "global/networks": {"autoCreateSubnetworks": False},
        "global/firewalls": {"network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]},
        "regions/us-central1/subnetworks": {"network": "global/networks/vpc", "ipCidrRange": "10.1.0.0/24"},
        "regions/us-central1/routers": {"network": "global/networks/vpc"},
    }
    path = f"{COMPUTE}/demo/{where}"
    api.post(path, {"name": "x", "description": "text", **own.get(where, {})})
    before = api.get(f"{path}/x")
    fingerprint = {"fingerprint": before["fingerprint"]} if "fingerprint" in before else {}
    api.patch(f"{path}/x", {"description": None, **fingerprint})
    assert (before["description"], api.get(f"{path}/x").get("description", "")) == ("text", "")


def test_null_inside_of_an_object_removes_that_field_only(api: Api) -> None:
    routers = f"{COMPUTE}/demo/regions/us-central1/routers"
    api.post(f"{COMPUTE}/demo/global/networks", VPC)
    bgp = {"asn": 64512, "advertiseMode": "CUSTOM", "advertisedGroups": ["ALL_SUBNETS"]}
    api.post(routers, {"name": "r", "network": "global/networks/vpc", "bgp": bgp})
    change = {"bgp": {"advertisedGroups": None, "advertiseMode": "DEFAULT"}}
    preview = api.post(f"{routers}/r/preview", change)["resource"]["bgp"]
    api.patch(f"{routers}/r", change)
    now = api.get(f"{routers}/r")["bgp"]
    assert (now["asn"], now["advertiseMode"], "advertisedGroups" in now) == (64512, "DEFAULT", False)
    assert preview == now


def test_resources_have_the_fields_that_google_s_have(api: Api) -> None:
    """As in logs of real clients: what is always printed, and what is printed only if it was set."""
    project, us = f"{COMPUTE}/demo", f"{COMPUTE}/demo/regions/us-central1"
    link = "https://www.googleapis.com/compute/v1/projects/demo"
    api.post(f"{project}/global/networks", VPC)
    network = api.get(f"{project}/global/networks/vpc")
    assert network["routingConfig"] == {"routingMode": "REGIONAL", "bgpBestPathSelectionMode": "LEGACY"}
    assert "mtu" not in network
    changed = api.patch(f"{project}/global/networks/vpc", {"mtu": 1500})
    assert (changed["operationType"], api.get(f"{project}/global/networks/vpc")["mtu"]) == (
        "compute.networks.patch",
        1500,
    )
    subnet = {
        "name": "s",
        "network": "global/networks/vpc",
        "ipCidrRange": "10.0.0.0/24",
        "logConfig": {"enable": False},
    }
    assert api.post(f"{us}/subnetworks", subnet)["operationType"] == "insert"
    made = api.get(f"{us}/subnetworks/s")
    assert (made["state"], made["allowSubnetCidrRoutesOverlap"]) == ("READY", False)
    assert "enableFlowLogs" not in made
    nat = {
        "name": "n",
        "natIpAllocateOption": "AUTO_ONLY",
        "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
        "subnetworks": [{"name": made["selfLink"], "sourceIpRangesToNat": ["ALL_IP_RANGES"]}],
    }
    interface = {"name": "i", "ipRange": "169.254.0.1/30"}
    router = {
        "name": "r",
        "network": network["selfLink"],
        "nats": [nat],
        "interfaces": [interface],
        "bgp": {"asn": 64512},
    }
    api.post(f"{us}/routers", router)
    router = api.get(f"{us}/routers/r")
    assert router["encryptedInterconnectRouter"] is False
    assert router["interfaces"] == [{**interface, "ipVersion": "IPV4"}]
    (shown,) = router["nats"]
    assert (shown["autoNetworkTier"], shown["effectiveTcpTimeWaitTimeoutSec"]) == ("PREMIUM", 120)
    assert shown["subnetworks"][0]["name"] == made["selfLink"]
    assert "enableEndpointIndependentMapping" not in shown
    api.post(f"{us}/addresses", {"name": "a"})
    assert api.get(f"{us}/addresses/a")["description"] == ""
    image = "projects/debian-cloud/global/images/family/debian-12"
    properties = {
        "machineType": "e2-micro",
        "disks": [{"boot": True, "initializeParams": {"sourceImage": image}}],
        "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/s", "accessConfigs": [{}]}],
    }
    done = api.post(f"{project}/global/instanceTemplates", {"name": "t", "properties": properties})
    assert done["operationType"] == "compute.instanceTemplates.insert"
    template = api.get(f"{project}/global/instanceTemplates/t")["properties"]
    (disk,), (nic,) = template["disks"], template["networkInterfaces"]
    assert (disk["kind"], disk["mode"], disk["deviceName"]) == (
        "compute#attachedDisk",
        "READ_WRITE",
        "persistent-disk-0",
    )
    assert (nic["kind"], nic["name"]) == ("compute#networkInterface", "nic0")
    assert nic["subnetwork"] == f"{link}/regions/us-central1/subnetworks/s"
    assert nic["accessConfigs"][0]["kind"] == "compute#accessConfig"
    assert template["metadata"]["kind"] == "compute#metadata"
    assert template["scheduling"]["onHostMaintenance"] == "MIGRATE"
    zone = {"name": "z", "dnsName": "example.org.", "description": ""}
    logging = api.post("dns/v1/projects/demo/managedZones", zone)["cloudLoggingConfig"]
    assert logging == {"kind": "dns#managedZoneCloudLoggingConfig"}
