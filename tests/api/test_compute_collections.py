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
