"""servicenetworking: private connections are kept, by the rules for their ranges (behaviour 4.9.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from testbed.api.discovery import Json
from testbed.control.resources import Record
from testbed.model.projects import project_number
from tests.api.harness import Api, Refused

SERVICE = "services/servicenetworking.googleapis.com"
CONNECTIONS = f"v1/{SERVICE}/connections"
FULL = "projects/demo/global/networks/vpc"
NETWORK = f"projects/{project_number('demo')}/global/networks/vpc"


@pytest.fixture(autouse=True)
def ranges(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    for name in ("a", "b"):
        body = {"name": name, "purpose": "VPC_PEERING", "network": FULL, "address": f"10.{ord(name)}.0.0",
                "prefixLength": 16, "addressType": "INTERNAL"}  # fmt: skip
        api.plane.keep(Record("compute.globalAddresses", f"projects/demo/global/addresses/{name}", body))


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
        "network": NETWORK, "service": SERVICE, "peering": "servicenetworking-googleapis-com",
        "reservedPeeringRanges": ["a"],
    }  # fmt: skip
    assert connections(api) == [expected]
    assert api.get("v1/services/-/connections", network=FULL)["connections"] == [expected]
    assert api.get("v1/services/other/connections", network=FULL) == {}


def test_another_creation_does_not_change_the_ranges(api: Api) -> None:
    connect(api, "a")
    assert "error" not in connect(api, "a")
    assert "error" not in connect(api)
    error = connect(api, "a", "b")["error"]
    assert error == {
        "code": 9, "message": "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection.",
    }  # fmt: skip
    assert connections(api)[0]["reservedPeeringRanges"] == ["a"]


def test_an_update_takes_ranges_away_by_force_only(api: Api) -> None:
    connect(api, "a")
    api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["a", "b"]})
    with pytest.raises(Refused, match="a would be removed"):
        api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["b"]})
    api.patch(f"{CONNECTIONS}/-", {"network": NETWORK, "reservedPeeringRanges": ["b"]}, force="true")
    assert connections(api)[0]["reservedPeeringRanges"] == ["b"]


def test_deletion(api: Api) -> None:
    connect(api, "a")
    done = api.post(f"{CONNECTIONS}/servicenetworking-googleapis-com", {"consumerNetwork": NETWORK})
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert connections(api) == []
    with pytest.raises(Refused, match="was not found"):
        api.post(f"{CONNECTIONS}/-", {"consumerNetwork": NETWORK})


def test_connections_that_cannot_be(api: Api) -> None:
    with pytest.raises(Refused, match="'c' is no range"):
        connect(api, "c")
    with pytest.raises(Refused, match="At least one"):
        connect(api)
    with pytest.raises(Refused, match="Invalid network 'vpc'"):
        connect(api, "a", network="vpc")
    with pytest.raises(Refused) as caught:
        connect(api, "a", network=f"{NETWORK}2")
    assert caught.value.code == 404
    range_ = api.plane.get("compute.globalAddresses", "projects/demo/global/addresses/b")
    api.plane.keep(replace(range_, body={**range_.body, "network": f"{FULL}2"}))
    with pytest.raises(Refused, match="'b' is no range"):
        connect(api, "b")
