"""Direct VPC egress by the APIs of Cloud Run, Cloud Functions and App Engine (behaviour 3.1, 7.2, 1.12.4)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.fabric.plan import Plan
from testbed.json_object import Json
from tests.api import test_appengine, test_functions_v2
from tests.api.harness import Api, Refused

SERVICES = "v2/projects/demo/locations/us-central1/services"
JOBS = "v2/projects/demo/locations/us-central1/jobs"
FUNCTIONS = "v2/projects/demo/locations/us-central1/functions"
NAMESPACE = "apis/serving.knative.dev/v1/namespaces/demo/services"
HOST = "us-central1-run.googleapis.com"
COMPUTE = "compute/v1/projects/demo"
NETWORK = "projects/demo/global/networks/vpc"
SUBNET = "projects/demo/regions/us-central1/subnetworks/vpc"

pytestmark = pytest.mark.behaviour("3.1", "7.2")


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    for name in ("vpc", "other"):
        api.post(f"{COMPUTE}/global/networks", {"name": name, "autoCreateSubnetworks": False})
    for region, name, of, cidr in (
        ("us-central1", "vpc", "vpc", "10.1.0.0/24"),
        ("us-central1", "small", "vpc", "10.2.0.0/27"),
        ("us-east1", "east", "vpc", "10.3.0.0/24"),
        ("us-central1", "public", "other", "8.8.8.0/24"),
    ):
        body = {"name": name, "network": f"global/networks/{of}", "ipCidrRange": cidr}
        api.post(f"{COMPUTE}/regions/{region}/subnetworks", body)
        api.settle()


def body(**access: Any) -> Json:
    return {"template": {"containers": [{"image": "testbed/runtime"}], "vpcAccess": access}}


def address(api: Api, node: str = "hello") -> str | None:
    """The address in the network of a node."""
    plan = api.kernel.plan
    assert isinstance(plan, Plan)
    ends = (end for veth in plan.veths for end in (veth.a, veth.b))
    found = (end.interface.addresses for end in ends if (end.namespace, end.interface.name) == (node, "eth1"))
    return next((str(*addresses) for addresses in found), None)


def routes(api: Api, node: str = "hello") -> set[str]:
    """What goes into the network."""
    assert api.kernel.plan is not None
    (space,) = (space for space in api.kernel.plan.namespaces if space.name == node)
    return {route.destination for route in space.routes if route.device == "eth1"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"network": "vpc"}, {"network": "vpc", "subnetwork": "vpc"}),
        ({"subnetwork": "vpc", "tags": ["a"]}, {"network": "vpc", "subnetwork": "vpc", "tags": ["a"]}),
        ({"network": NETWORK, "subnetwork": SUBNET}, {"network": NETWORK, "subnetwork": SUBNET}),
        ({"network": "vpc", "subnetwork": ""}, {"network": "vpc", "subnetwork": "vpc"}),
    ],
)
def test_of_network_and_subnet_the_one_follows_from_the_other(api: Api, given: Json, shown: Json) -> None:
    made = api.post(SERVICES, body(networkInterfaces=[given]), serviceId="hello")["response"]
    assert made["template"]["vpcAccess"] == {"networkInterfaces": [shown], "egress": "PRIVATE_RANGES_ONLY"}
    assert address(api) == "10.1.0.2/32"
    revisions = api.get(f"{SERVICES}/hello/revisions")["revisions"]
    (interface,) = revisions[0]["vpcAccess"]["networkInterfaces"]
    assert (interface["network"], interface["subnetwork"]) == (NETWORK, SUBNET)

    again = api.patch(f"{SERVICES}/hello", body(networkInterfaces=[shown]))["response"]
    assert again["latestCreatedRevision"] == made["latestCreatedRevision"]  # nothing has changed


@pytest.mark.parametrize(
    ("interfaces", "code", "text"),
    [
        ([{"tags": ["a"]}], 400, r"network_interfaces\[0\]: at least one of network and subnetwork must be specified"),
        ([{"network": "vpc"}, {"network": "other"}], 400, "only a single network interface"),
        ([{"network": "none"}], 404, "projects/demo/regions/us-central1/subnetworks/none' was not found"),
        ([{"subnetwork": "none"}], 404, "subnetworks/none' was not found"),
        ([{"network": "other", "subnetwork": "vpc"}], 400, "vpc does not belong to the network other"),
        ([{"subnetwork": "projects/demo/regions/us-east1/subnetworks/east"}], 400, "us-east1, not in the region"),
        ([{"subnetwork": "public"}], 400, r"8\.8\.8\.0/24: it must be of RFC 1918"),
        ([{"network": "a/b/c"}], 400, "is not a reference"),
        ([{"network": "vpc", "tags": ["UPPER"]}], 400, "Must be a match of regex"),
    ],
)
def test_what_cannot_be_is_refused(api: Api, interfaces: list[Json], code: int, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        api.post(SERVICES, body(networkInterfaces=interfaces), serviceId="hello")
    assert caught.value.code == code
    job = {"template": {"template": body(networkInterfaces=interfaces)["template"]}}
    with pytest.raises(Refused, match=text) as caught:  # though no packet knows of a job before it runs
        api.post(JOBS, job, jobId="work")
    assert caught.value.code == code
    assert "services" not in api.get(SERVICES)


@pytest.mark.behaviour("7.2")
def test_in_a_subnet_without_enough_addresses_no_instance_starts(api: Api) -> None:
    """The service is created, its revision fails, and the one before goes on serving."""
    text = (
        "Instance failed to start because of insufficient free IP addresses in the subnetwork"
        " https://www.googleapis.com/compute/v1/projects/demo/regions/us-central1/subnetworks/small when attempting to"
        " create an address in the subnetwork. Please consider moving to a subnetwork with more available IP addresses."
    )
    made = api.post(SERVICES, body(networkInterfaces=[{"subnetwork": "small"}]), serviceId="hello")
    assert made["error"]["message"].endswith(f"is not ready and cannot serve traffic. {text}")
    assert api.get(f"{SERVICES}/hello")["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert address(api) is None
    assert "error" not in api.patch(f"{SERVICES}/hello", body(networkInterfaces=[{"network": "vpc"}]))
    assert "error" in api.patch(f"{SERVICES}/hello", body(networkInterfaces=[{"subnetwork": "small"}]))
    assert address(api) == "10.1.0.2/32"


@pytest.mark.behaviour("7.2")
def test_addresses_are_listed_while_they_are_in_use(api: Api) -> None:
    addresses = f"{COMPUTE}/regions/us-central1/addresses"
    api.post(SERVICES, body(networkInterfaces=[{"network": "vpc"}]), serviceId="hello")
    [found] = api.get(addresses)["items"]
    assert found["name"].startswith("serverless-ipv4-")
    assert (found["address"], found["purpose"], found["status"]) == ("10.1.0.2", "SERVERLESS", "IN_USE")
    assert found["subnetwork"].endswith(SUBNET)
    assert api.get(f"{addresses}/{found['name']}") == found
    assert len(api.get(f"{COMPUTE}/aggregated/addresses")["items"]["regions/us-central1"]["addresses"]) == 1
    with pytest.raises(Refused, match="already being used by") as caught:
        api.delete(f"{addresses}/{found['name']}")
    assert caught.value.error["errors"][0]["reason"] == "resourceInUseByAnotherResource"
    api.delete(f"{SERVICES}/hello")
    assert "items" not in api.get(addresses)


@pytest.mark.behaviour("1.12.4", "1.10.5")
def test_a_service_moves_from_a_connector_to_direct_egress_and_back(api: Api) -> None:
    api.post(
        "v1/projects/demo/locations/us-central1/connectors",
        {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3},
        connectorId="c1",
    )
    api.post(SERVICES, body(connector="c1"), serviceId="hello")
    assert address(api) is None

    moved = api.patch(f"{SERVICES}/hello", body(networkInterfaces=[{"network": "vpc"}], egress="ALL_TRAFFIC"))
    assert "connector" not in moved["response"]["template"]["vpcAccess"]
    assert address(api) == "10.1.0.2/32"
    assert routes(api) == {"0.0.0.0/0"}

    back = api.patch(f"{SERVICES}/hello", body(connector="c1"))["response"]
    assert back["template"]["vpcAccess"] == {"connector": "c1", "egress": "PRIVATE_RANGES_ONLY"}
    assert address(api) is None
    with pytest.raises(Refused, match="one and only one of connector and network_interfaces must be set"):
        api.patch(f"{SERVICES}/hello", body(connector="c1", networkInterfaces=[{"network": "vpc"}]))


def test_a_subnet_with_a_service_in_it_is_not_deleted(api: Api) -> None:
    api.post(SERVICES, body(networkInterfaces=[{"network": "vpc"}]), serviceId="hello")
    with pytest.raises(Refused, match=r"already being used by '.*services/hello'") as caught:
        api.delete(f"{COMPUTE}/regions/us-central1/subnetworks/vpc")
    assert caught.value.code == 400
    api.delete(f"{SERVICES}/hello")
    api.delete(f"{COMPUTE}/regions/us-central1/subnetworks/vpc")


@pytest.mark.behaviour("6.2")
def test_knatives_annotations_say_the_same(api: Api) -> None:
    annotations = {
        "run.googleapis.com/network-interfaces": '[{"network":"vpc","tags":["a","b"]}]',
        "run.googleapis.com/vpc-access-egress": "all-traffic",
    }
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"image": "testbed/runtime"}]}}
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": "demo"},
        "spec": {"template": template},
    }
    api.post(NAMESPACE, service, host=HOST)
    seen = api.get(f"{SERVICES}/hello")["template"]["vpcAccess"]
    shown = {"network": "vpc", "subnetwork": "vpc", "tags": ["a", "b"]}
    assert seen == {"networkInterfaces": [shown], "egress": "ALL_TRAFFIC"}
    assert routes(api) == {"0.0.0.0/0"}
    written = api.get(f"{NAMESPACE}/hello", host=HOST)["spec"]["template"]["metadata"]["annotations"]
    assert "network-interfaces" in " ".join(written)

    for wrong in ("5", "[5]", '[{"network":5}]', "{}", "[", "[]"):
        annotations["run.googleapis.com/network-interfaces"] = wrong
        with pytest.raises(Refused) as caught:
            api.put(f"{NAMESPACE}/hello", service, host=HOST)
        assert caught.value.code == 400


def test_a_job_has_an_address_for_each_task(api: Api) -> None:
    job = {"template": {"template": body(networkInterfaces=[{"subnetwork": "vpc"}])["template"]}}
    made = api.post(JOBS, job, jobId="work")["response"]
    (interface,) = made["template"]["template"]["vpcAccess"]["networkInterfaces"]
    assert (interface["network"], interface["subnetwork"]) == (NETWORK, SUBNET)


@pytest.mark.behaviour("1.12.4", "6.3")
def test_a_function(api: Api) -> None:
    interface = {"network": "vpc", "tags": ["a"]}
    direct = {"directVpcNetworkInterface": [interface], "directVpcEgress": "VPC_EGRESS_ALL_TRAFFIC"}
    made = test_functions_v2.body(api, **direct)
    done = api.post(FUNCTIONS, made, functionId="hello")["response"]["serviceConfig"]
    assert done["directVpcNetworkInterface"] == [{"network": NETWORK, "subnetwork": SUBNET, "tags": ["a"]}]
    assert done["directVpcEgress"] == "VPC_EGRESS_ALL_TRAFFIC"
    assert (address(api), routes(api)) == ("10.1.0.2/32", {"0.0.0.0/0"})

    both = test_functions_v2.body(api, **direct, vpcConnector=test_functions_v2.CONNECTOR)
    for wrong, text in ((both, "mutually exclusive"), ({**made, "environment": "GEN_1"}, "2nd generation")):
        with pytest.raises(Refused, match=text) as caught:
            api.post(FUNCTIONS, wrong, functionId="other")
        assert caught.value.code == 400

    none: Json = {"serviceConfig": {"directVpcNetworkInterface": []}}
    mask = "serviceConfig.directVpcNetworkInterface,serviceConfig.directVpcEgress"
    api.patch(f"{FUNCTIONS}/hello", none, updateMask=mask)
    assert address(api) is None


@pytest.mark.behaviour("1.12.4", "6.4")
def test_an_app(api: Api) -> None:
    api.post("v1/apps", {"id": "demo", "locationId": "us-central"})
    access = {"networkInterfaces": [{"network": "vpc", "tags": ["a"]}], "vpcEgress": "PRIVATE_IP_RANGES"}
    done = api.post(test_appengine.VERSIONS, test_appengine.version(api, vpcAccess=access))["response"]
    assert done["vpcAccess"]["networkInterfaces"] == [{"network": NETWORK, "subnet": SUBNET, "tags": ["a"]}]
    assert address(api, "demo") == "10.1.0.2/32"
    assert "10.0.0.0/8" in routes(api, "demo")

    connector = {"name": test_appengine.CONNECTOR}
    for changed, text in (
        ({"vpcAccess": access, "vpcAccessConnector": connector}, "mutually exclusive"),
        ({"vpcAccess": access, "env": "flexible"}, "App Engine Flexible"),
    ):
        with pytest.raises(Refused, match=text) as caught:
            api.post(test_appengine.VERSIONS, test_appengine.version(api, "v2", **changed))
        assert caught.value.code == 400
