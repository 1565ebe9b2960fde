"""Cloud Run v2: services and revisions; what becomes of one without its connector or image (behaviour 1.10, 3.1)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.errors import Unavailable
from testbed.json_object import Json
from testbed.model.core.projects import project_number
from testbed.model.topology import Topology
from tests.api.harness import Api, Refused

REGION = "v2/projects/demo/locations/us-central1"
SERVICES = f"{REGION}/services"
C1 = "projects/demo/locations/us-central1/connectors/c1"


def body(connector: str | None = None, *, image: str = "testbed/runtime", **template: Any) -> Json:
    access = {"vpcAccess": {"connector": connector}} if connector else {}
    return {"template": {"containers": [{"image": image}], **access, **template}}


@pytest.fixture
def connector(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    api.post(
        "v1/projects/demo/locations/us-central1/connectors",
        {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3},
        connectorId="c1",
    )


def environment(api: Api, node: str = "hello") -> dict[str, str]:
    """What the container of a node is started with."""
    assert api.kernel.plan is not None
    return dict(next(one for one in api.kernel.plan.nodes if one.name == node).environment)


def routes(api: Api) -> set[tuple[str, str]]:
    """Destination and kind of the routes in the tables of runtimes."""
    assert api.kernel.plan is not None
    space = next(one for one in api.kernel.plan.namespaces if one.name == "serverless-us-central1")
    return {(route.destination, route.kind) for route in space.routes if route.table > 2000}


def test_a_service_comes_up_ready(api: Api) -> None:
    done = api.post(SERVICES, body(), serviceId="hello")
    assert done["done"] is True
    assert done["metadata"]["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
    made = done["response"]
    number = project_number("demo")
    assert made["uri"] == f"https://hello-{number}.us-central1.run.app"
    assert made["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert made["latestReadyRevision"] == made["latestCreatedRevision"]
    revision = made["latestReadyRevision"].rpartition("/")[2]
    assert revision.startswith("hello-00001-")
    assert made["template"]["maxInstanceRequestConcurrency"] == 80
    assert environment(api)["K_REVISION"] == revision
    assert api.get(f"{SERVICES}/hello")["etag"] == made["etag"]


def test_each_deployment_makes_a_revision(api: Api) -> None:
    api.post(SERVICES, body(), serviceId="hello")
    changed = body()
    changed["template"]["containers"][0]["env"] = [{"name": "COLOUR", "value": "green"}]
    done = api.patch(f"{SERVICES}/hello", changed)["response"]
    assert done["latestReadyRevision"].rpartition("/")[2].startswith("hello-00002-")
    assert environment(api)["COLOUR"] == "green"
    revisions = api.get(f"{SERVICES}/hello/revisions")["revisions"]
    assert len(revisions) == 2
    active = {one["name"]: one["conditions"][-1]["state"] for one in revisions}
    assert active[done["latestReadyRevision"]] == "CONDITION_SUCCEEDED"
    assert sorted(active.values()) == ["CONDITION_FAILED", "CONDITION_SUCCEEDED"]
    again = api.patch(f"{SERVICES}/hello", {**changed, "labels": {"team": "a"}})["response"]
    assert again["latestCreatedRevision"] == done["latestCreatedRevision"]  # the template is the same


def test_traffic_can_stay_at_a_named_revision(api: Api) -> None:
    first = api.post(SERVICES, body(), serviceId="hello")["response"]["latestReadyRevision"].rpartition("/")[2]
    pinned = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": first, "percent": 100}]
    done = api.patch(f"{SERVICES}/hello", {**body(timeout="10s"), "traffic": pinned})["response"]
    assert done["trafficStatuses"] == pinned
    assert environment(api)["K_REVISION"] == first
    with pytest.raises(Refused, match="gets its traffic"):
        api.delete(f"{SERVICES}/hello/revisions/{first}")
    api.patch(f"{SERVICES}/hello", {}, updateMask="traffic")
    assert environment(api)["K_REVISION"].startswith("hello-00002-")
    api.delete(f"{SERVICES}/hello/revisions/{first}")
    with pytest.raises(Refused) as caught:
        api.get(f"{SERVICES}/hello/revisions/{first}")
    assert caught.value.code == 404


def test_a_service_of_a_topology_file_has_a_first_revision(api: Api) -> None:
    given = {"name": "projects/demo/locations/us-central1/services/hello", **body()}
    api.store.replace_topology(Topology.model_validate({"name": "t", "project": "demo", "run": {"services": [given]}}))
    (first,) = api.get(f"{SERVICES}/hello/revisions")["revisions"]
    assert first["name"].endswith("/revisions/hello-00001")
    done = api.patch(f"{SERVICES}/hello", body(timeout="20s"))["response"]
    assert done["latestReadyRevision"].rpartition("/")[2].startswith("hello-00002-")
    pinned = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "hello-00001", "percent": 100}]
    api.patch(f"{SERVICES}/hello", {"traffic": pinned}, updateMask="traffic")
    assert environment(api)["K_REVISION"] == "hello-00001"


def test_a_split_is_refused_as_not_built(api: Api) -> None:
    api.post(SERVICES, body(), serviceId="hello")
    half = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 50}
    with pytest.raises(Refused, match="traffic splitting") as caught:
        api.patch(f"{SERVICES}/hello", {**body(), "traffic": [half, half]})
    assert caught.value.code == 501


@pytest.mark.behaviour("3.1.1")
@pytest.mark.usefixtures("connector")
def test_short_names_and_numbers_name_the_connector(api: Api) -> None:
    number = project_number("demo")
    for service, name in {"a": "c1", "b": C1, "c": C1.replace("demo", str(number))}.items():
        done = api.post(SERVICES, body(name), serviceId=service)["response"]
        assert done["template"]["vpcAccess"] == {"connector": name, "egress": "PRIVATE_RANGES_ONLY"}
    assert api.get("v1/" + C1)["connectedProjects"] == ["demo"]
    assert ("10.0.0.0/8", "unicast") in routes(api)


@pytest.mark.behaviour("1.10.5")
def test_a_missing_connector_is_found_by_the_operation(api: Api) -> None:
    done = api.post(SERVICES, body("c1"), serviceId="hello")
    text = f"VPC connector {C1} does not exist, or Cloud Run does not have permission to use it."
    assert text in done["error"]["message"]
    failed = api.get(f"{SERVICES}/hello")
    assert failed["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert "latestReadyRevision" not in failed
    (revision,) = api.get(f"{SERVICES}/hello/revisions")["revisions"]
    assert revision["conditions"][0]["message"] == text
    assert api.kernel.plan is None or all(node.name != "hello" for node in api.kernel.plan.nodes)


@pytest.mark.behaviour("1.10.5")
def test_a_connector_in_error_cannot_be_prepared(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    api.post(
        "v1/projects/demo/locations/us-central1/connectors",
        {"network": "vpc", "ipCidrRange": "10.8.0.0/28"},
        connectorId="c1",
    )
    done = api.post(SERVICES, body("c1"), serviceId="hello")
    assert "Failed to prepare VPC connector. Please try again later." in done["error"]["message"]


def test_a_failed_deployment_leaves_the_revision_before_serving(api: Api) -> None:
    first = api.post(SERVICES, body(), serviceId="hello")["response"]["latestReadyRevision"]
    done = api.patch(f"{SERVICES}/hello", body(image="gcr.io/demo/nothing"))
    assert done["error"]["code"] == 5
    assert done["error"]["message"].endswith(
        "is not ready and cannot serve traffic. Image 'gcr.io/demo/nothing' not found."
    )
    now = api.get(f"{SERVICES}/hello")
    assert now["latestReadyRevision"] == first != now["latestCreatedRevision"]
    assert now["template"]["containers"][0]["image"] == "gcr.io/demo/nothing"
    assert now["terminalCondition"]["reason"] == "REVISION_FAILED"
    assert environment(api)["K_REVISION"] == first.rpartition("/")[2]
    newest = api.get("v2/" + now["latestCreatedRevision"])
    assert newest["conditions"][0]["reason"] == "CONTAINER_MISSING"
    healed = api.patch(f"{SERVICES}/hello", body())["response"]
    assert healed["latestReadyRevision"].rpartition("/")[2].startswith("hello-00003-")


def test_a_container_that_does_not_start_leaves_its_revision_in_error(api: Api) -> None:
    first = api.post(SERVICES, body(), serviceId="hello")["response"]["latestReadyRevision"]
    api.kernel.failure = Unavailable("node hello ended as soon as it was started: no output")
    done = api.patch(f"{SERVICES}/hello", body(timeout="20s"))
    api.kernel.failure = None
    assert done["error"]["message"].startswith("node hello ended")
    now = api.get(f"{SERVICES}/hello")
    assert now["terminalCondition"]["message"].startswith("node hello ended")
    assert now["latestReadyRevision"] == first != now["latestCreatedRevision"]
    assert api.get("v2/" + now["latestCreatedRevision"])["conditions"][0]["state"] == "CONDITION_FAILED"
    healed = api.patch(f"{SERVICES}/hello", body(timeout="30s"))["response"]
    assert healed["latestReadyRevision"].rpartition("/")[2].startswith("hello-00003-")
    assert environment(api)["K_REVISION"].startswith("hello-00003-")


@pytest.mark.behaviour("1.10.5a")
@pytest.mark.usefixtures("connector")
def test_what_lost_its_connector_reaches_nothing_until_it_is_made_again(api: Api) -> None:
    api.post(SERVICES, body("c1"), serviceId="hello")
    api.delete("v1/" + C1)
    assert ("10.0.0.0/8", "unreachable") in routes(api)
    assert ("0.0.0.0/0", "unreachable") not in routes(api)  # private-ranges-only: the internet is still there
    api.post(
        "v1/projects/demo/locations/us-central1/connectors",
        {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3},
        connectorId="c1",
    )
    assert ("10.0.0.0/8", "unicast") in routes(api)
    assert api.get(f"{SERVICES}/hello")["latestReadyRevision"].rpartition("/")[2].startswith("hello-00001-")


@pytest.mark.behaviour("1.10.5", "1.12.4")
@pytest.mark.parametrize(
    "access", [{}, {"egress": "ALL_TRAFFIC"}, {"connector": "c1", "networkInterfaces": [{"network": "vpc"}]}]
)
def test_exactly_one_way_into_a_network(api: Api, access: Json) -> None:
    with pytest.raises(Refused) as caught:
        api.post(SERVICES, body(vpcAccess=access), serviceId="hello")
    assert caught.value.code == 400
    assert caught.value.message == (
        "Violation in CreateServiceRequest.service.template.vpc_access.connector: one and only one of connector and"
        " network_interfaces must be set."
    )


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"ingress": "INGRESS_TRAFFIC_NONE"}, 501, "ingress setting INGRESS_TRAFFIC_NONE"),
        ({"template": {"containers": []}}, 400, "at least one container"),
        ({"template": {"containers": [{"image": "testbed/runtime"}, {"image": "testbed/runtime"}]}}, 501, "sidecars"),
        (
            {
                "template": {
                    "containers": [{"image": "testbed/runtime"}],
                    "vpcAccess": {"connector": "projects/demo/locations/us-east1/connectors/c1"},
                }
            },
            400,
            "region",
        ),
        ({"buildConfig": {"sourceLocation": "gs://bucket/source.zip"}}, 501, "Cloud Build"),
        ({"labels": {"run.googleapis.com/x": "y"}}, 400, "run.googleapis.com"),
        ({"name": "hello"}, 400, "must be empty"),
        (
            {"traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "x", "percent": 100}]},
            400,
            "'x'",
        ),
    ],
)
def test_what_is_refused_at_once(api: Api, change: Json, code: int, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        api.post(SERVICES, {**body(), **change}, serviceId="hello")
    assert caught.value.code == code
    assert api.get(SERVICES) == {}


def test_names_are_checked(api: Api) -> None:
    with pytest.raises(Refused, match="Maximum length is 49 characters"):
        api.post(SERVICES, body(), serviceId="Hello")
    with pytest.raises(Refused, match="Location nowhere1"):
        api.post("v2/projects/demo/locations/nowhere1/services", body(), serviceId="hello")
    api.post(SERVICES, body(), serviceId="hello")
    with pytest.raises(Refused) as caught:
        api.post(SERVICES, body(), serviceId="hello")
    assert caught.value.code == 409


def test_a_stale_etag_is_a_conflict(api: Api) -> None:
    etag = api.post(SERVICES, body(), serviceId="hello")["response"]["etag"]
    api.patch(f"{SERVICES}/hello", {**body(timeout="20s"), "etag": etag})
    with pytest.raises(Refused) as caught:
        api.patch(f"{SERVICES}/hello", {**body(), "etag": etag})
    assert (caught.value.code, caught.value.status) == (409, "ABORTED")


def test_validate_only_changes_nothing(api: Api) -> None:
    done = api.post(SERVICES, body(), serviceId="hello", validateOnly="true")
    assert done["done"] is True
    assert api.get(SERVICES) == {}


def test_allow_missing_makes_the_service(api: Api) -> None:
    with pytest.raises(Refused):
        api.patch(f"{SERVICES}/hello", body())
    assert api.patch(f"{SERVICES}/hello", body(), allowMissing="true")["done"] is True


def test_deletion_takes_the_revisions_along(api: Api) -> None:
    api.post(SERVICES, body(), serviceId="hello")
    done = api.delete(f"{SERVICES}/hello")
    assert done["response"]["name"].endswith("/services/hello")
    assert api.plane.list("run.revisions") == []
    with pytest.raises(Refused):
        api.get(f"{SERVICES}/hello")


def test_the_scaling_of_the_service_counts_as_well(api: Api) -> None:
    api.post(SERVICES, {**body(), "scaling": {"minInstanceCount": 2}}, serviceId="hello")
    assert api.kernel.plan is not None
    assert {"hello", "hello-2"} <= {node.name for node in api.kernel.plan.nodes}


def test_googles_hello_is_the_projects_own_example(api: Api) -> None:
    api.post(SERVICES, body(image="us-docker.pkg.dev/cloudrun/container/hello"), serviceId="hello")
    assert api.kernel.plan is not None
    node = next(one for one in api.kernel.plan.nodes if one.name == "hello")
    assert node.image == "testbed/runtime"
    assert str(node.source).endswith("examples/relay")


@pytest.mark.parametrize(
    ("resources", "flags"),
    [
        (None, {"cpuIdle": True, "startupCpuBoost": True}),
        ({"limits": {"cpu": "2"}}, {}),
        ({"cpuIdle": False}, {"cpuIdle": False}),
        ({"limits": {"cpu": "1"}, "startupCpuBoost": True}, {"startupCpuBoost": True}),
    ],
)
def test_flags_of_the_cpu_are_filled_in_where_there_were_no_resources(
    api: Api, resources: Json | None, flags: Json
) -> None:
    """Terraform sees a difference for ever if a flag comes back that it has not sent."""
    given = body()
    if resources is not None:
        given["template"]["containers"][0]["resources"] = resources
    made = api.post(SERVICES, given, serviceId="hello")["response"]
    for shown in (made["template"], api.get(f"v2/{made['latestReadyRevision']}")):
        (container,) = shown["containers"]
        assert {key: value for key, value in container["resources"].items() if key != "limits"} == flags


def test_the_details_say_which_field_is_wrong(api: Api) -> None:
    api.post(SERVICES, body(), serviceId="hello")
    with pytest.raises(Refused) as caught:
        api.patch(f"{SERVICES}/hello", body(vpcAccess={"egress": "ALL_TRAFFIC"}))
    (detail,) = caught.value.error["details"]
    assert detail["fieldViolations"] == [
        {
            "field": "Violation in UpdateServiceRequest.service.template.vpc_access.connector",
            "description": "one and only one of connector and network_interfaces must be set.",
        }
    ]
