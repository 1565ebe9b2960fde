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
