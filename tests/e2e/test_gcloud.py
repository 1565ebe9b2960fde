"""The documentation's walkthrough with the real gcloud, from an empty testbed; then packets flow.

The steps build on each other, as a user's do: they run in the order in which they stand here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.paths import EXAMPLES
from tests.e2e.gcloud import Gcloud, needs_gcloud
from tests.e2e.program import Program
from tests.waiting import QUIET

pytestmark = needs_gcloud

REGION = "--region=us-central1"
ZONE = "--zone=us-central1-a"
HELLO = "us-docker.pkg.dev/cloudrun/container/hello"
C1 = [f"10.8.0.{last}" for last in range(2, 14)]
"""The addresses that instances of c1 can have."""
C2 = [f"10.8.1.{last}" for last in range(2, 14)]
INTERNET = "203.0.113.10"
SHARED_RULES = (
    (
        "serverless-to-vpc-connector",
        "--allow=tcp:667,udp:665-666,icmp",
        "--source-ranges=35.199.224.0/19",
        "--direction=INGRESS",
        "--target-tags=vpc-connector",
    ),
    (
        "vpc-connector-to-serverless",
        "--allow=tcp:667,udp:665-666,icmp",
        "--destination-ranges=35.199.224.0/19",
        "--direction=EGRESS",
        "--target-tags=vpc-connector",
    ),
    (
        "vpc-connector-health-checks",
        "--allow=tcp:667",
        "--direction=INGRESS",
        "--target-tags=vpc-connector",
        "--source-ranges=35.191.0.0/16,35.191.192.0/18,130.211.0.0/22",
    ),
    ("vpc-connector-requests", "--allow=tcp,udp,icmp", "--direction=INGRESS", "--source-tags=vpc-connector"),
)
"""As the documentation has a host project's administrator make them (behaviour 2.3.1)."""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A testbed that has nothing of Google's; only an internet that answers."""
    folder = tmp_path_factory.mktemp("gcloud")
    made = Program("gcloud", folder, folder / "state")
    try:
        made.up(
            {
                "name": "gcloud",
                "project": "demo",
                "internet": {"hosts": [{"name": "host", "address": INTERNET}]},
            }
        )
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def gcloud(bed: Program) -> Gcloud:
    return Gcloud.of(bed, "--proxy")


def caller(bed: Program, service: str, url: str) -> str:
    """The source address that a web server saw when a service called it."""
    answer: dict[str, Any] = bed.invoke(service, f"/http?url={url}")
    return str(answer["body"]["client"])


@pytest.mark.behaviour("1.1.8")
def test_the_api_is_enabled(gcloud: Gcloud) -> None:
    gcloud("services", "enable", "vpcaccess.googleapis.com")
    enabled = gcloud.json("services", "list", "--enabled")
    assert "vpcaccess.googleapis.com" in {service["config"]["name"] for service in enabled}


@pytest.mark.behaviour("5.4.1", "5.4.2", "5.4.3")
def test_locations_are_listed(gcloud: Gcloud) -> None:
    head, *regions = gcloud.table("compute", "networks", "vpc-access", "locations", "list")
    assert head == ["REGION"]  # behaviour 5.4.2
    assert ["us-central1"] in regions
    assert regions == sorted(regions)


@pytest.mark.behaviour("6.5")
def test_a_network_with_subnets_rules_and_a_vm(gcloud: Gcloud) -> None:
    gcloud("compute", "networks", "create", "vpc", "--subnet-mode=custom")
    gcloud("compute", "networks", "subnets", "create", "us", "--network=vpc", REGION, "--range=10.128.0.0/20")
    gcloud("compute", "networks", "subnets", "create", "c2-subnet", "--network=vpc", REGION, "--range=10.8.1.0/28")
    gcloud(
        "compute",
        "firewall-rules",
        "create",
        "allow-web",
        "--network=vpc",
        "--allow=tcp:80",
        "--target-tags=web",
        "--source-ranges=10.128.0.0/20",
    )
    gcloud(
        "compute",
        "instances",
        "create",
        "vm",
        ZONE,
        "--subnet=us",
        "--tags=web",
        "--private-network-ip=10.128.0.2",
        "--image-family=debian-12",
        "--image-project=debian-cloud",
        "--no-address",
    )
    (made,) = gcloud.json("compute", "instances", "list")
    assert (made["status"], made["networkInterfaces"][0]["networkIP"]) == ("RUNNING", "10.128.0.2")
    ranges = {subnet["name"]: subnet["ipCidrRange"] for subnet in gcloud.json("compute", "networks", "subnets", "list")}
    assert ranges == {"us": "10.128.0.0/20", "c2-subnet": "10.8.1.0/28"}
    gcloud("compute", "networks", "subnets", "update", "us", REGION, "--enable-private-ip-google-access")
    described = gcloud.json("compute", "networks", "describe", "vpc")
    assert len(described["subnetworks"]) == len(ranges)
    head, rule = gcloud.table("compute", "firewall-rules", "list")
    assert (head[0], rule[:4]) == ("NAME", ["allow-web", "vpc", "INGRESS", "1000"])


def test_a_redis_instance(gcloud: Gcloud) -> None:
    gcloud("redis", "instances", "create", "cache", REGION, "--network=vpc", "--reserved-ip-range=10.9.0.0/29")
    found = gcloud.json("redis", "instances", "describe", "cache", REGION)
    assert (found["state"], found["host"], found["port"]) == ("READY", "10.9.0.3", 6379)
    gcloud("redis", "instances", "update", "cache", REGION, "--update-redis-config=maxmemory-policy=allkeys-lru")
    head, listed = gcloud.table("redis", "instances", "list", REGION)
    assert (head[0], listed[0]) == ("INSTANCE_NAME", "cache")


@pytest.mark.behaviour("1.6.2", "1.6.9", "6.1", "6.1.1")
def test_connectors_by_range_and_by_subnet(gcloud: Gcloud) -> None:
    connectors = ("compute", "networks", "vpc-access", "connectors")
    gcloud(*connectors, "create", "c1", REGION, "--network=vpc", "--range=10.8.0.0/28")
    gcloud(*connectors, "create", "c2", REGION, "--subnet=c2-subnet", "--min-instances=2", "--max-instances=3")
    head, first, second = gcloud.table(*connectors, "list", REGION)
    assert head == [  # behaviour 6.1.1
        "CONNECTOR_ID",
        "REGION",
        "NETWORK",
        "IP_CIDR_RANGE",
        "SUBNET",
        "SUBNET_PROJECT",
        "MACHINE_TYPE",
        "MIN_INSTANCES",
        "MAX_INSTANCES",
        "MIN_THROUGHPUT",
        "MAX_THROUGHPUT",
        "STATE",
    ]
    assert first == ["c1", "us-central1", "vpc", "10.8.0.0/28", "e2-micro", "2", "10", "200", "1000", "READY"]
    assert (second[0], second[-1]) == ("c2", "READY")
    assert gcloud.json(*connectors, "describe", "c2", REGION)["subnet"]["name"] == "c2-subnet"
    refused = gcloud.attempt(*connectors, "create", "c3", REGION, "--network=vpc", "--range=10.8.0.0/28")
    assert refused.returncode != 0
    assert "Invalid IP CIDR range was provided." in refused.stderr  # behaviour 1.6.9
    assert gcloud.json(*connectors, "describe", "c3", REGION)["state"] == "ERROR"
    gcloud(*connectors, "delete", "c3", REGION)


@pytest.mark.behaviour("2.1.1", "3.2.4", "6.2")
def test_cloud_run_reaches_the_vm_and_redis(bed: Program, gcloud: Gcloud) -> None:
    gcloud(
        "run",
        "deploy",
        "hello",
        f"--image={HELLO}",
        REGION,
        "--vpc-connector=c1",
        "--allow-unauthenticated",
        "--vpc-egress=private-ranges-only",
        "--set-env-vars=REDIS_HOST=10.9.0.3",
    )
    (listed,) = gcloud.json("run", "services", "list")
    annotations = listed["spec"]["template"]["metadata"]["annotations"]
    assert annotations["run.googleapis.com/vpc-access-egress"] == "private-ranges-only"
    assert caller(bed, "hello", "http://10.128.0.2/") in C1  # behaviour 2.1.1
    assert caller(bed, "hello", f"http://{INTERNET}/") not in C1  # it goes there directly (behaviour 3.2.4)
    clients = bed.invoke("hello", "/redis/clients")["clients"]
    assert {client["address"].rpartition(":")[0] for client in clients} <= set(C1)


@pytest.mark.behaviour("3.3.2")
def test_all_traffic_needs_cloud_nat(bed: Program, gcloud: Gcloud) -> None:
    gcloud("run", "services", "update", "hello", REGION, "--vpc-egress=all-traffic")
    lost = bed.run("invoke", "hello", f"/http?url=http://{INTERNET}/&timeout={QUIET}", check=False)
    assert lost.returncode != 0  # behaviour 3.3.2
    gcloud("compute", "addresses", "create", "out", REGION)
    address = gcloud.json("compute", "addresses", "describe", "out", REGION)["address"]
    gcloud("compute", "routers", "create", "router", "--network=vpc", REGION)
    gcloud(
        "compute",
        "routers",
        "nats",
        "create",
        "nat",
        "--router=router",
        REGION,
        "--nat-all-subnet-ip-ranges",
        "--nat-external-ip-pool=out",
    )
    assert caller(bed, "hello", f"http://{INTERNET}/") == address


@pytest.mark.behaviour("6.3")
def test_a_function_through_the_other_connector(bed: Program, gcloud: Gcloud) -> None:
    gcloud(
        "functions",
        "deploy",
        "relay",
        "--gen2",
        "--runtime=python311",
        f"--source={EXAMPLES / 'relay'}",
        REGION,
        "--entry-point=relay",
        "--trigger-http",
        "--allow-unauthenticated",
        "--vpc-connector=c2",
        "--egress-settings=private-ranges-only",
    )
    found = gcloud.json("functions", "describe", "relay", REGION)
    assert found["state"] == "ACTIVE"
    assert found["serviceConfig"]["vpcConnector"].endswith("/connectors/c2")
    assert caller(bed, "relay", "http://10.128.0.2/") in C2
    assert [one["name"].split("/")[-1] for one in gcloud.json("functions", "list")] == ["relay"]


@pytest.mark.behaviour("6.4")
def test_an_app_engine_app(bed: Program, gcloud: Gcloud, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLES / "relay", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__")))
    (folder / "app.yaml").write_text(
        "runtime: python311\nservice: default\nentrypoint: gunicorn --bind :$PORT main:app\nvpc_access_connector:\n"
        "  name: projects/demo/locations/us-central1/connectors/c1\n  egress_setting: all-traffic\n"
    )
    gcloud("app", "create", "--region=us-central")
    gcloud("app", "deploy", str(folder / "app.yaml"), "--version=v1")
    (version,) = gcloud.json("app", "versions", "list")
    assert version["id"] == "v1"
    assert gcloud.json("app", "describe")["servingStatus"] == "SERVING"
    assert caller(bed, "demo", "http://10.128.0.2/") in C1
    assert caller(bed, "demo", f"http://{INTERNET}/") not in C1  # Cloud NAT


def test_logs_are_read(gcloud: Gcloud) -> None:
    """What the steps before have asked for, and what the containers have written."""
    run = gcloud("run", "services", "logs", "read", "hello", REGION)
    assert re.search(r"GET 200 https://hello-\d+\.us-central1\.run\.app/", run), run
    assert "Listening at" in run
    assert gcloud("functions", "logs", "read", "relay", REGION)
    assert '"GET https://demo.appspot.com/' in gcloud("app", "logs", "read")
    assert "status: 504" in gcloud("logging", "read", "resource.type=cloud_run_revision severity>=ERROR")


@pytest.mark.behaviour("2.5.1")
def test_the_firewall_decides(bed: Program, gcloud: Gcloud) -> None:
    """A deny by the connector's tag, more important than the rules that Google makes (behaviour 2.5.1)."""
    gcloud(
        "compute",
        "firewall-rules",
        "create",
        "deny-c1",
        "--network=vpc",
        "--action=DENY",
        "--rules=tcp",
        "--source-tags=vpc-connector-us-central1-c1",
        "--priority=990",
    )
    lost = bed.run("invoke", "hello", f"/http?url=http://10.128.0.2/&timeout={QUIET}", check=False)
    assert lost.returncode != 0
    assert caller(bed, "relay", "http://10.128.0.2/") in C2
    gcloud("compute", "firewall-rules", "update", "deny-c1", "--disabled")
    assert caller(bed, "hello", "http://10.128.0.2/") in C1
    gcloud("compute", "firewall-rules", "delete", "deny-c1")


@pytest.mark.behaviour("1.8.2")
def test_a_connector_grows_and_does_not_shrink(bed: Program, gcloud: Gcloud) -> None:
    update = ("compute", "networks", "vpc-access", "connectors", "update", "c2", REGION)
    gcloud(*update, "--min-instances=3", "--max-instances=4")
    instances = [one for one in bed.json("status")["instances"] if one["connector"] == "c2"]
    assert [one["health"] for one in instances] == ["healthy"] * 3
    refused = gcloud.attempt(*update, "--min-instances=2", "--max-instances=4")
    assert "Decreasing the number of instances" in refused.stderr  # behaviour 1.8.2


def test_overridden_endpoints_are_another_way_in(bed: Program) -> None:
    """Without --proxy; Cloud Run's is the endpoint that cannot simply be overridden."""
    gcloud = Gcloud.of(bed)
    assert [one["metadata"]["name"] for one in gcloud.json("run", "services", "list")] == ["hello"]
    assert len(gcloud.json("compute", "networks", "vpc-access", "connectors", "list", REGION)) == len(("c1", "c2"))


def test_what_was_made_is_exported_and_comes_up_alike(bed: Program) -> None:
    file = bed.folder / "export.yaml"
    bed.run("export", "--output", str(file))
    again = bed.json("up", str(file))
    assert again["started"] == []
    assert again["stopped"] == []
    assert (bed.folder / "export-sources").is_dir()  # what gcloud uploaded, where it outlives the testbed


@pytest.mark.behaviour("1.7.5", "2.3.1", "2.3.3", "4.6.2")
def test_shared_vpc_needs_four_rules_by_hand(bed: Program, gcloud: Gcloud) -> None:
    """Without them the health checks are blocked, and the create fails (behaviour 2.3).

    What packets do then is shown by tests/e2e/test_api_connectors.py.
    """
    gcloud("compute", "shared-vpc", "enable", "demo")
    gcloud("compute", "shared-vpc", "associated-projects", "add", "service-project", "--host-project=demo")
    gcloud("compute", "networks", "subnets", "create", "shared", "--network=vpc", REGION, "--range=10.8.2.0/28")
    service = Gcloud.of(bed, "--proxy", project="service-project")
    create = (
        "compute",
        "networks",
        "vpc-access",
        "connectors",
        "create",
        "c4",
        REGION,
        "--subnet=shared",
        "--subnet-project=demo",
    )
    refused = service.attempt(*create)
    assert refused.returncode != 0
    assert "VPC Access connector failed to get healthy" in refused.stderr  # behaviour 1.7.5
    service("compute", "networks", "vpc-access", "connectors", "delete", "c4", REGION)
    for name, *options in SHARED_RULES:
        gcloud("compute", "firewall-rules", "create", name, "--network=vpc", *options)
    service(*create)
    found = service.json("compute", "networks", "vpc-access", "connectors", "describe", "c4", REGION)
    assert found["state"] == "READY"
    service("compute", "networks", "vpc-access", "connectors", "delete", "c4", REGION)


def test_everything_is_deleted(bed: Program, gcloud: Gcloud) -> None:
    gcloud("run", "services", "delete", "hello", REGION)
    gcloud("functions", "delete", "relay", "--gen2", REGION)
    for connector in ("c1", "c2"):
        gcloud("compute", "networks", "vpc-access", "connectors", "delete", connector, REGION)
    gcloud("redis", "instances", "delete", "cache", REGION)
    gcloud("compute", "instances", "delete", "vm", ZONE)
    gcloud("compute", "routers", "delete", "router", REGION)
    gcloud("compute", "firewall-rules", "delete", "allow-web", *(name for name, *_ in SHARED_RULES))
    gcloud("compute", "networks", "subnets", "delete", "us", "c2-subnet", "shared", REGION)
    gcloud("compute", "networks", "delete", "vpc")
    left = {(node["kind"], node["name"]) for node in bed.json("status")["nodes"]}
    assert {kind for kind, _ in left} == {"internet-host", "front-end", "app-engine-standard", "name-server"}
