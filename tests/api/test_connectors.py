"""vpcaccess: what is accepted, what is refused, and how (behaviour 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.control import connectors
from testbed.control.realise.capacity import change, parsed
from testbed.model.core.projects import project_number
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.api.harness import Api, Refused

REGION = "v1/projects/demo/locations/us-central1"
CONNECTORS = f"{REGION}/connectors"
COMPUTE = "compute/v1/projects/demo"
BODY = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
BOTH = "minInstances,maxInstances"
LIMITS = ("minInstances", "maxInstances", "minThroughput", "maxThroughput")


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post(f"{COMPUTE}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})


@pytest.fixture
def unhealthy(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody answers health checks, and that is waited for only shortly."""
    monkeypatch.setattr(connectors, "PATIENCE", 0.01)
    api.kernel.healthy = False
    yield
    api.kernel.healthy = True


def subnet(api: Api, name: str = "small", cidr: str = "10.9.0.0/28", **more: Any) -> None:
    body = {"name": name, "network": "global/networks/vpc", "ipCidrRange": cidr, **more}
    api.post(f"{COMPUTE}/regions/us-central1/subnetworks", body)


def limits(connector: dict[str, Any]) -> list[int]:
    return [connector[name] for name in LIMITS]


@pytest.mark.behaviour("1.1.1", "1.2.11", "1.2.14", "1.7.1", "1.7.2", "1.7.3", "5.2.4")
def test_a_connector_comes_up_ready(api: Api) -> None:
    done = api.post(CONNECTORS, BODY, connectorId="c1")
    assert done["done"] is True
    assert done["metadata"] == {
        "@type": "type.googleapis.com/google.cloud.vpcaccess.v1.OperationMetadata",
        "method": "google.cloud.vpcaccess.v1.Connectors.CreateConnector",
        "createTime": done["metadata"]["createTime"],
        "endTime": done["metadata"]["endTime"],
        "target": "projects/demo/locations/us-central1/connectors/c1",
    }
    made = {
        "name": "projects/demo/locations/us-central1/connectors/c1", "network": "vpc", "ipCidrRange": "10.8.0.0/28",
        "machineType": "e2-micro", "state": "READY", "minInstances": 2, "maxInstances": 3, "minThroughput": 200,
        "maxThroughput": 300,
    }  # fmt: skip
    assert api.get(f"{CONNECTORS}/c1") == made
    assert done["response"] == {"@type": "type.googleapis.com/google.cloud.vpcaccess.v1.Connector", **made}


@pytest.mark.behaviour("1.1.1", "1.2.12")
def test_the_beta_has_two_times_more(api: Api) -> None:
    """Behaviour 1.2.12; what the one version has made, the other one shows."""
    done = api.post(CONNECTORS.replace("v1", "v1beta1"), BODY, connectorId="c1")
    assert done["metadata"]["@type"] == "type.googleapis.com/google.cloud.vpcaccess.v1beta1.OperationMetadata"
    beta = api.get(f"{CONNECTORS.replace('v1', 'v1beta1')}/c1")
    assert beta["lastRestartTime"] == beta["createTime"]
    assert api.get(f"{CONNECTORS}/c1") == {k: v for k, v in beta.items() if not k.endswith("Time")}
    api.patch(f"{CONNECTORS}/c1", {"machineType": "f1-micro"})
    beta = api.get(f"{CONNECTORS.replace('v1', 'v1beta1')}/c1")
    assert beta["lastRestartTime"] > beta["createTime"]


@pytest.mark.behaviour("1.3.1", "1.3.2", "1.2.10")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"minThroughput": 400, "maxThroughput": 800}, [4, 8, 400, 800]),
        ({"minInstances": 5, "maxInstances": 7}, [5, 7, 500, 700]),
        ({"minInstances": 5, "maxInstances": 7, "minThroughput": 200, "maxThroughput": 1000}, [5, 7, 500, 700]),
        ({"maxInstances": 3}, [2, 3, 200, 300]),
        ({"maxThroughput": 300, "machineType": "e2-standard-4"}, [2, 3, 200, 300]),
        ({"minInstances": 3, "maxThroughput": 600}, [3, 6, 300, 600]),
    ],
)
def test_instances_and_throughput_are_the_same(api: Api, given: dict[str, Any], expected: list[int]) -> None:
    """Behaviour 1.3.1, 1.3.2."""
    body = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", **given}
    done = api.post(CONNECTORS, body, connectorId="c1")
    assert limits(done["response"]) == limits(api.get(f"{CONNECTORS}/c1")) == expected
    assert len(api.store.connectors.instances()) == expected[0]


@pytest.mark.behaviour("1.3.3")
def test_without_a_maximum_the_operation_fails(api: Api) -> None:
    """Behaviour 1.3.3: the connector is left in ERROR, and can only be deleted (1.10.6)."""
    done = api.post(CONNECTORS, {"network": "vpc", "ipCidrRange": "10.8.0.0/28"}, connectorId="c1")
    assert done["error"] == {
        "code": 3,
        "message": "Operation failed: A Connector must specify either max_throughput or max_instances.",
    }
    assert api.get(f"{CONNECTORS}/c1")["state"] == "ERROR"
    with pytest.raises(Refused, match="only be deleted"):
        api.patch(f"{CONNECTORS}/c1", {"maxInstances": 5})
    api.delete(f"{CONNECTORS}/c1")
    assert api.get(CONNECTORS) == {}


@pytest.mark.behaviour("1.1.7", "1.2.5", "1.2.7", "1.5.1", "1.6.1", "1.6.11")
@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("c1", {"name": "c1"}, r"Connector name must not be set\."),  # behaviour 1.1.7
        ("C1", {}, r"Connector ID must follow the pattern \^\[a-z\]"),  # behaviour 1.5.1
        ("c", {}, "Connector ID must follow the pattern"),
        ("c" * 26, {}, "Connector ID must follow the pattern"),
        ("c-", {}, "Connector ID must follow the pattern"),
        ("c1", {"ipCidrRange": "10.8.0.0/20"}, "must be a /28"),  # behaviour 1.6.1
        ("c1", {"ipCidrRange": "127.0.0.0/28"}, "127.0.0.0/28"),  # behaviour 1.6.11
        ("c1", {"minInstances": 3}, "must be less than maxInstances"),  # behaviour 1.2.7
        ("c1", {"maxInstances": 11}, "less than or equal to 10"),
        ("c1", {"minInstances": 1}, "greater than or equal to 2"),
        ("c1", {"machineType": "n1-standard-1"}, "e2-micro"),
        ("c1", {"maxInstances": 0, "maxThroughput": 350}, "must be a multiple of 100"),
        (
            "c1",
            {"network": "", "subnet": {"name": "small"}},
            "either network and ipCidrRange, or subnet",
        ),  # behaviour 1.2.5
        ("c1", {"network": "projects/host/global/networks/vpc"}, "must be in a network of its own project"),  # 1.6.4
    ],
)
def test_what_is_refused_at_once(api: Api, name: str, change: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        api.post(CONNECTORS, {**BODY, **change}, connectorId=name)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert api.get(CONNECTORS) == {}


@pytest.mark.behaviour("5.4.1")
def test_a_location_is_a_region(api: Api) -> None:
    with pytest.raises(Refused, match="Location mars is not found"):
        api.post("v1/projects/demo/locations/mars/connectors", BODY, connectorId="c1")
    found = api.get("v1/projects/demo/locations", filter="locationId=us-central1")["locations"]
    assert [one["name"] for one in found] == ["projects/demo/locations/us-central1"]


@pytest.mark.behaviour("1.6.3", "1.6.9", "1.7.7")
@pytest.mark.parametrize("cidr", ["10.8.0.0/28", "10.9.0.0/28", "10.128.0.0/28", "10.77.1.0/28"])
def test_a_range_in_use_is_found_by_the_operation(api: Api, cidr: str) -> None:
    """Behaviour 1.6.3, 1.6.9, 1.7.7: of another connector, of a subnet, inside of a subnet, of a route."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    subnet(api)
    subnet(api, "large", "10.128.0.0/20")
    route = {"name": "r", "network": "global/networks/vpc", "destRange": "10.77.1.0/29", "nextHopIp": "10.128.0.9"}
    api.post(f"{COMPUTE}/global/routes", route)
    done = api.post(CONNECTORS, {**BODY, "ipCidrRange": cidr}, connectorId="c2")
    assert done["error"] == {
        "code": 3,
        "message": "Operation failed: Invalid IP CIDR range was provided. It conflicts with an existing subnetwork."
        " Please delete the connector manually.",
    }
    assert api.get(f"{CONNECTORS}/c2")["state"] == "ERROR"
    with pytest.raises(Refused) as caught:
        api.post(CONNECTORS, {**BODY, "ipCidrRange": "10.8.5.0/28"}, connectorId="c2")
    assert (caught.value.code, caught.value.status) == (409, "ALREADY_EXISTS")
    assert {i.connector[-2:] for i in api.store.connectors.instances()} == {"c1"}
    api.delete(f"{CONNECTORS}/c2")
    assert (
        api.post(CONNECTORS, {**BODY, "ipCidrRange": "10.8.5.0/28"}, connectorId="c2")["response"]["state"] == "READY"
    )


@pytest.mark.behaviour("3.5", "4.4.8")
def test_a_legacy_network_has_no_connectors(api: Api) -> None:
    api.post(f"{COMPUTE}/global/networks", {"name": "old", "IPv4Range": "10.0.0.0/8"})
    done = api.post(CONNECTORS, {**BODY, "network": "old"}, connectorId="c1")
    assert done["error"]["code"] == 3
    assert done["error"]["message"] == "Operation failed: Serverless VPC Access does not support legacy networks."
    assert api.get(f"{CONNECTORS}/c1")["state"] == "ERROR"


def test_a_network_that_is_not_there(api: Api) -> None:
    done = api.post(CONNECTORS, {**BODY, "network": "none"}, connectorId="c1")
    text = "Operation failed: The resource 'projects/demo/global/networks/none' was not found"
    assert done["error"] == {"code": 5, "message": text}


@pytest.mark.behaviour("1.7.5", "1.7.7", "1.10.6")
@pytest.mark.usefixtures("unhealthy")
def test_a_connector_that_does_not_get_healthy(api: Api) -> None:
    """Behaviour 1.7.5."""
    done = api.post(CONNECTORS, BODY, connectorId="c1")
    assert done["error"] == {
        "code": 13,
        "message": "An internal error occurred: VPC Access connector failed to get healthy. Please check GCE quotas,"
        " logs and org policies and recreate.",
    }
    assert api.get(f"{CONNECTORS}/c1")["state"] == "ERROR"
    assert api.store.connectors.instances() == ()
    assert api.store.topology is not None
    assert not api.store.topology.vpcaccess.connectors


# -- subnets ----------------------------------------------------------------------------------------------------------


def by_subnet(name: str = "small", **more: Any) -> dict[str, Any]:
    return {"subnet": {"name": name, **more}, "minInstances": 2, "maxInstances": 3}


@pytest.mark.behaviour("1.2.4", "1.6.2", "1.10.7")
def test_a_connector_in_a_subnet(api: Api) -> None:
    subnet(api)
    done = api.post(CONNECTORS, {**by_subnet(), "network": "default"}, connectorId="c1")  # as gcloud does
    assert (done["response"]["subnet"], done["response"]["network"]) == ({"name": "small"}, "vpc")
    read = api.get(f"{CONNECTORS}/c1")
    assert "error" not in api.patch(f"{CONNECTORS}/c1", {**read, "maxInstances": 9})
    assert {i.address for i in api.store.connectors.instances()} == {"10.9.0.2", "10.9.0.3"}
    with pytest.raises(Refused, match="already being used by") as caught:  # behaviour 1.10.7
        api.delete(f"{COMPUTE}/regions/us-central1/subnetworks/small")
    assert caught.value.error["errors"][0]["reason"] == "resourceInUseByAnotherResource"
    api.delete(f"{CONNECTORS}/c1")
    api.delete(f"{COMPUTE}/regions/us-central1/subnetworks/small")


@pytest.mark.behaviour("1.6.6")
@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"cidr": "10.9.0.0/24"}, "not a /28"),
        ({"purpose": "PRIVATE_SERVICE_CONNECT"}, "not PRIVATE"),
    ],
)
def test_a_subnet_that_no_connector_can_have(api: Api, more: dict[str, Any], text: str) -> None:
    """Behaviour 1.6.6."""
    subnet(api, **more)
    done = api.post(CONNECTORS, by_subnet(), connectorId="c1")
    assert done["error"]["code"] == 3
    assert text in done["error"]["message"]
    assert "behaviour" not in done["error"]["message"]


@pytest.mark.behaviour("1.6.6", "5.3.3")
def test_a_subnet_is_used_by_one_connector_alone(api: Api) -> None:
    subnet(api)
    api.post(CONNECTORS, by_subnet(), connectorId="c1")
    done = api.post(CONNECTORS, by_subnet(), connectorId="c2")
    assert "small is used by another resource too" in done["error"]["message"]


@pytest.mark.behaviour("1.6.6")
def test_a_subnet_of_another_region_is_not_found(api: Api) -> None:
    subnet(api)
    done = api.post(CONNECTORS.replace("us-central1", "us-east1"), by_subnet(), connectorId="c1")
    assert done["error"]["code"] == 5
    assert "projects/demo/regions/us-east1/subnetworks/small" in done["error"]["message"]


@pytest.mark.behaviour("4.6.2", "1.2.4")
def test_a_subnet_of_a_host_project(api: Api) -> None:
    """Behaviour 1.2.4, 2.3: Google makes no rules for it, the unique tag is there all the same."""
    subnet(api)
    service = CONNECTORS.replace("demo", "service")
    api.post(service, by_subnet(projectId="demo"), connectorId="c1")
    assert api.get(f"{service}/c1")["subnet"] == {"name": "small", "projectId": "demo"}
    assert api.get(CONNECTORS) == {}
    assert managed_rules(api) == set()
    api.delete(f"{service}/c1")
    api.post(CONNECTORS, by_subnet(), connectorId="c1")
    assert len(managed_rules(api)) == 6


def managed_rules(api: Api) -> set[str]:
    """The rules of connectors that are in the firewall of the network (behaviour 2.2.2)."""
    assert api.kernel.plan is not None
    tables = (table for space in api.kernel.plan.namespaces for table in space.tables)
    rules = (rule for table in tables for chain in table.chains for rule in chain.rules)
    return {found for rule in rules for found in re.findall(r"aet-uscentral1-c1-\w+", rule)}


# -- updates ----------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("1.1.5", "1.8.1", "1.8.4", "5.3.1")
@pytest.mark.parametrize(
    ("body", "mask", "expected"),
    [
        ({"minInstances": 2, "maxInstances": 5}, BOTH, [2, 5, 200, 500]),
        ({"minInstances": 4, "maxInstances": 5}, "", [4, 5, 400, 500]),
        ({"min_instances": 4, "max_instances": 6}, "min_instances,max_instances", [4, 6, 400, 600]),
        ({"maxInstances": 9}, "machineType", [2, 3, 200, 300]),
    ],
)
def test_instances_can_grow(api: Api, body: dict[str, Any], mask: str, expected: list[int]) -> None:
    """Behaviour 1.8.1, 1.1.5."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    done = api.patch(f"{CONNECTORS}/c1", body, **({"updateMask": mask} if mask else {}))
    assert done["metadata"]["method"] == "google.cloud.vpcaccess.v1.Connectors.UpdateConnector"
    assert limits(done["response"]) == expected
    assert len(api.store.connectors.instances()) == expected[0]


@pytest.mark.behaviour("1.1.5")
def test_what_was_read_can_be_sent_back(api: Api) -> None:
    """Behaviour 1.1.5: all fields are updated, and those that cannot be are as they were."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    read = api.get(f"{CONNECTORS}/c1")
    done = api.patch(f"{CONNECTORS}/c1", {**read, "machineType": "e2-standard-4"})
    assert done["response"]["machineType"] == "e2-standard-4"
    assert api.get(f"{CONNECTORS}/c1") == {**read, "machineType": "e2-standard-4"}


@pytest.mark.behaviour("1.8.1", "1.8.2", "1.8.3", "1.8.4", "1.8.7")
@pytest.mark.parametrize(
    ("body", "mask", "text"),
    [
        ({"minInstances": 4}, "minInstances", "both must be sent"),  # behaviour 1.8.4
        ({"maxInstances": 6}, "", "both must be sent"),
        ({"minInstances": 3, "maxInstances": 6}, "maxInstances", "both must be sent"),
        ({"minInstances": 2, "maxInstances": 5}, BOTH, "Decreasing the number of instances"),  # behaviour 1.8.2
        ({"minInstances": 3, "maxInstances": 4}, "", "Decreasing the number of instances"),
        ({"minInstances": 5, "maxInstances": 5}, "", "must be less than maxInstances"),  # behaviour 1.8.3
        ({"minInstances": 3, "maxInstances": 11}, BOTH, "less than or equal to 10"),
        ({}, BOTH, "Decreasing the number of instances"),
        ({"network": "other"}, "network", "connector: the field network cannot be changed"),  # behaviour 1.8.1
        ({"ipCidrRange": "10.9.0.0/28"}, "", "connector: the field ipCidrRange cannot be changed"),
        ({"subnet": {"name": "s"}}, "", "connector: the field subnet cannot be changed"),
        ({"maxThroughput": 900}, "", "connector: the field maxThroughput cannot be changed"),  # behaviour 1.8.7
        ({"machineType": "n1"}, "machineType", "e2-micro"),
        ({}, "colour", "field mask"),
    ],
)
def test_what_cannot_be_updated(api: Api, body: dict[str, Any], mask: str, text: str) -> None:
    api.post(CONNECTORS, {**BODY, "minInstances": 3, "maxInstances": 5}, connectorId="c1")
    before = api.get(f"{CONNECTORS}/c1")
    with pytest.raises(Refused, match=text) as caught:
        api.patch(f"{CONNECTORS}/c1", body, **({"updateMask": mask} if mask else {}))
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert api.get(f"{CONNECTORS}/c1") == before


@pytest.mark.behaviour("1.8.5")
def test_another_machine_type_means_other_instances(api: Api) -> None:
    """Behaviour 1.8.5, 2.6.3."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    before = {i.name for i in api.store.connectors.instances()}
    api.patch(f"{CONNECTORS}/c1", {"machineType": "f1-micro"}, updateMask="machineType")
    assert {i.machine_type for i in api.store.connectors.instances()} == {"f1-micro"}
    assert len(api.store.connectors.instances()) == 2
    assert not before & {i.name for i in api.store.connectors.instances()}


@pytest.mark.usefixtures("unhealthy")
def test_a_failed_update_leaves_the_connector_as_it_was(api: Api) -> None:
    api.kernel.healthy = True
    api.post(CONNECTORS, BODY, connectorId="c1")
    api.kernel.failure = RuntimeError("no")
    done = api.patch(f"{CONNECTORS}/c1", {"minInstances": 2, "maxInstances": 9})
    api.kernel.failure = None
    assert done["error"]["code"] == 13
    assert limits(api.get(f"{CONNECTORS}/c1")) == [2, 3, 200, 300]
    assert api.get(f"{CONNECTORS}/c1")["state"] == "READY"


@pytest.mark.behaviour("1.7.6")
@pytest.mark.parametrize(
    ("destination", "error"),
    [("", connectors.UNHEALTHY), ("199.36.153.8/30", None), ("199.36.153.4/30", connectors.UNHEALTHY)],
)
def test_a_network_without_a_way_to_googles_apis(
    api: Api, monkeypatch: pytest.MonkeyPatch, destination: str, error: object
) -> None:
    """Its connectors do not get healthy, and one for which there was a way when it was made stays as it is."""
    monkeypatch.setattr(connectors, "PATIENCE", 0.01)
    api.post(CONNECTORS, BODY, connectorId="before")
    routes = f"{COMPUTE}/global/routes"
    for route in api.get(routes)["items"]:
        if route["destRange"] == "0.0.0.0/0":
            api.delete(f"{routes}/{route['name']}")
    if destination:
        gateway = "projects/demo/global/gateways/default-internet-gateway"
        body = {"name": "apis", "network": "global/networks/vpc", "destRange": destination, "nextHopGateway": gateway}
        api.post(routes, body)
    done = api.post(CONNECTORS, {**BODY, "ipCidrRange": "10.8.1.0/28"}, connectorId="after")
    assert done.get("error") == error
    assert api.get(f"{CONNECTORS}/after")["state"] == ("ERROR" if error else "READY")
    assert api.get(f"{CONNECTORS}/before")["state"] == "READY"


@pytest.mark.behaviour("1.2.15")
@pytest.mark.parametrize(
    ("written", "expected"),
    [({}, [2, 10, 200, 1000]), ({"maxThroughput": 500}, [2, 5, 200, 500]), ({"minInstances": 4}, [4, 10, 400, 1000])],
)
def test_a_connector_from_a_topology_file(api: Api, written: dict[str, Any], expected: list[int]) -> None:
    """What the file leaves to the model, the API says (behaviour 1.2.15); and it can be updated."""
    data = {"name": "projects/demo/locations/us-central1/connectors/c1", "network": "vpc", "ipCidrRange": "10.8.0.0/28"}
    file = {
        "name": "t",
        "project": "demo",
        "compute": {"networks": [{"name": "vpc"}]},
        "vpcaccess": {"connectors": [{**data, **written}]},
    }
    api.store.replace_topology(Topology.model_validate(file, context=Defaults("demo")))
    shown = api.get(f"{CONNECTORS}/c1")
    assert limits(shown) == expected
    assert (shown["machineType"], shown["state"], shown["network"]) == ("e2-micro", "READY", "vpc")
    done = api.patch(f"{CONNECTORS}/c1", {"machineType": "f1-micro"}, updateMask="machineType")
    assert limits(done["response"]) == expected


# -- deletion and use -------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("1.1.4")
def test_unknown_connectors_are_not_found(api: Api) -> None:
    for verb in ("GET", "DELETE", "PATCH"):  # behaviour 1.1.4
        with pytest.raises(Refused) as caught:
            api.call(verb, f"{CONNECTORS}/c1", {"maxInstances": 9} if verb == "PATCH" else None)
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


@pytest.mark.behaviour("1.2.13", "1.10.2", "1.10.5a")
def test_deletion_does_not_ask_who_uses_it(api: Api) -> None:
    """Behaviour 1.10.2, 1.10.5a: services keep the name, and are connected again when there is such a connector."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    name = "projects/demo/locations/us-central1/connectors/c1"
    service = {
        "template": {
            "containers": [{"image": "testbed/runtime"}],
            "vpcAccess": {"connector": name, "egress": "ALL_TRAFFIC"},
        }
    }
    services = "v2/projects/other/locations/us-central1/services"
    assert "error" not in api.post(services, service, serviceId="s")
    assert api.get(f"{CONNECTORS}/c1")["connectedProjects"] == ["other"]  # behaviour 1.2.13
    done = api.delete(f"{CONNECTORS}/c1")
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert api.get(f"{services}/s")["template"]["vpcAccess"]["connector"] == name
    assert tunnels(api) == 0
    api.post(CONNECTORS, BODY, connectorId="c1")
    assert tunnels(api) == 2
    assert api.get(f"{CONNECTORS}/c1")["connectedProjects"] == ["other"]


@pytest.mark.behaviour("3.1.1")
def test_a_project_may_be_given_by_its_number(api: Api) -> None:
    """Behaviour 3.1.1: in paths and in references; a service of another project may name the connector so."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    number = CONNECTORS.replace("demo", str(project_number("demo")))
    assert api.get(f"{number}/c1") == api.get(f"{CONNECTORS}/c1")
    connector = f"{number.removeprefix('v1/')}/c1"
    service = {"template": {"containers": [{"image": "testbed/runtime"}], "vpcAccess": {"connector": connector}}}
    assert "error" not in api.post("v2/projects/other/locations/us-central1/services", service, serviceId="s")
    assert api.get(f"{CONNECTORS}/c1")["connectedProjects"] == ["other"]
    assert tunnels(api) == 2
    unknown = CONNECTORS.replace("demo", "123456789012")
    assert api.get(unknown) == {}


def tunnels(api: Api) -> int:
    """Nexthops that lead from the region's runtimes to connector instances."""
    assert api.kernel.plan is not None
    spaces = (space for space in api.kernel.plan.namespaces if space.name == "serverless-us-central1")
    return sum(len(space.nexthops) for space in spaces)


def test_lists_page_and_take_all_regions(api: Api) -> None:
    for index, region in enumerate(("us-central1", "us-east1", "europe-west1")):
        body = {**BODY, "ipCidrRange": f"10.8.{index}.0/28"}
        api.post(CONNECTORS.replace("us-central1", region), body, connectorId=f"c{index}")
    everywhere = CONNECTORS.replace("us-central1", "-")
    first = api.get(everywhere, pageSize=2)
    rest = api.get(everywhere, pageSize=2, pageToken=first["nextPageToken"])
    found = [one["name"].rpartition("/")[2] for one in first["connectors"] + rest["connectors"]]
    assert sorted(found) == ["c0", "c1", "c2"]
    assert "nextPageToken" not in rest
    assert [one["name"][-2:] for one in api.get(CONNECTORS)["connectors"]] == ["c0"]


@pytest.mark.behaviour("1.6.4")
def test_a_range_needs_a_network_of_the_connectors_own_project(api: Api) -> None:
    body = {**BODY, "network": "projects/host/global/networks/vpc"}
    api.post("compute/v1/projects/host/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    with pytest.raises(Refused, match="must be in a network of its own project"):
        api.post(CONNECTORS, body, connectorId="c1")
    assert api.get(CONNECTORS) == {}


@pytest.mark.behaviour("1.6.8")
def test_a_connectors_subnet_cannot_be_expanded(api: Api) -> None:
    subnet(api)
    api.post(CONNECTORS, by_subnet(), connectorId="c1")
    with pytest.raises(Refused, match="/28"):
        api.post(f"{COMPUTE}/regions/us-central1/subnetworks/small/expandIpCidrRange", {"ipCidrRange": "10.9.0.0/27"})
    assert api.get(f"{COMPUTE}/regions/us-central1/subnetworks/small")["ipCidrRange"] == "10.9.0.0/28"


@pytest.mark.behaviour("1.6.5", "2.4.4")
def test_neither_the_range_nor_the_instances_are_listed(api: Api) -> None:
    """The range is no subnet that a rule, a gateway or an instance could name; the instances are no VMs."""
    api.post(CONNECTORS, BODY, connectorId="c1")
    assert len(api.store.connectors.instances()) == BODY["minInstances"]
    assert "items" not in api.get(f"{COMPUTE}/regions/us-central1/subnetworks")
    assert "items" not in api.get(f"{COMPUTE}/zones/us-central1-a/instances")
    assert not any("instances" in zone for zone in api.get(f"{COMPUTE}/aggregated/instances").get("items", {}).values())


def test_the_capacity_that_a_testbed_has_for_a_connector_is_no_field_of_its_api(api: Api) -> None:
    api.post(CONNECTORS, BODY, connectorId="c1")
    before = api.get(f"{CONNECTORS}/c1")
    change(api.store, "c1", parsed("burst"))
    assert api.get(f"{CONNECTORS}/c1") == before

    api.patch(f"{CONNECTORS}/c1", {"machineType": "f1-micro"}, updateMask="machineType")
    of = api.store.topology
    assert of is not None
    (made,) = of.vpcaccess.connectors
    assert (made.machine_type, str(made.capacity)) == ("f1-micro", "burst")
    assert "capacity" not in api.get(f"{CONNECTORS}/c1")
