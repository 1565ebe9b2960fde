"""vpcaccess: what is accepted, what is refused, and how (behaviour 1)."""

from __future__ import annotations

import pytest

from tests.api.harness import Api, Refused

REGION = "v1/projects/demo/locations/us-central1"
CONNECTORS = f"{REGION}/connectors"
BODY = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})


def test_a_connector_comes_up_ready(api: Api) -> None:
    done = api.post(CONNECTORS, BODY, connectorId="c1")
    assert done["done"] is True
    assert done["response"]["state"] == "READY"
    assert done["metadata"]["target"] == "projects/demo/locations/us-central1/connectors/c1"
    made = api.get(f"{CONNECTORS}/c1")
    assert (made["minThroughput"], made["maxThroughput"]) == (200, 300)  # behaviour 1.3.1
    assert made["network"] == "vpc"


def test_the_name_must_not_be_sent(api: Api) -> None:
    with pytest.raises(Refused, match=r"Connector name must not be set\.") as caught:
        api.post(CONNECTORS, {**BODY, "name": "c1"}, connectorId="c1")
    assert caught.value.code == 400


def test_an_overlapping_range_is_found_by_the_operation(api: Api) -> None:  # behaviour 1.6.9
    api.post(CONNECTORS, BODY, connectorId="c1")
    done = api.post(CONNECTORS, BODY, connectorId="c2")
    assert done["error"]["code"] == 3
    assert done["error"]["message"].startswith("Operation failed: Invalid IP CIDR range was provided.")
    assert api.get(f"{CONNECTORS}/c2")["state"] == "ERROR"
    with pytest.raises(Refused) as caught:
        api.post(CONNECTORS, BODY, connectorId="c2")
    assert (caught.value.code, caught.value.status) == (409, "ALREADY_EXISTS")  # behaviour 1.7.7


def test_a_network_in_use_is_not_deleted(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/firewalls", {"name": "r", "network": "global/networks/vpc",
                                                           "allowed": [{"IPProtocol": "tcp"}]})  # fmt: skip
    with pytest.raises(Refused) as caught:
        api.delete("compute/v1/projects/demo/global/networks/vpc")
    assert caught.value.message == (
        "The network resource 'projects/demo/global/networks/vpc' is already being used by"
        " 'projects/demo/global/firewalls/r'"
    )
    assert caught.value.error["errors"][0]["reason"] == "resourceInUseByAnotherResource"
    api.delete("compute/v1/projects/demo/global/firewalls/r")
    assert api.delete("compute/v1/projects/demo/global/networks/vpc")["status"] == "DONE"
