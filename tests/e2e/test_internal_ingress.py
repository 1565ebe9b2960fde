"""Who reaches what has internal ingress, and how the others are refused (behaviour 3.3.5, 3.8.1)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

from testbed.fabric.naming import host_name
from testbed.model.core.projects import project_number
from testbed.paths import EXAMPLES
from tests.e2e import inside
from tests.e2e.program import Program
from tests.e2e.readers import LONGEST
from tests.e2e.rest import Rest
from tests.e2e.small import file, program, small
from tests.waiting import PATIENCE, QUIET, eventually

PRIVATE, PUBLIC = "199.36.153.8", "203.0.113.1"
RUN = f"{project_number('small')}.us-central1.run.app"
INNER, OPEN = f"inner-{RUN}", f"relay-{RUN}"
FUNCTION, APP = "us-central1-small.cloudfunctions.net", "small.appspot.com"
URLS = {INNER: "/", f"{FUNCTION}/first": "/", APP: "/"}
VM, STRANGER = "10.128.0.2", "10.64.0.2"
RELAY = str(EXAMPLES / "relay")
SCOPE = "projects/other"


class Got(NamedTuple):
    """What a caller got."""

    status: int
    text: str


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("ingress"), "ingr") as made:
        made.run("up", file(made, topology(made.name)))
        for node in ("vm", "stranger", "relay"):
            inside.name_in(made, node, PRIVATE, INNER, OPEN, FUNCTION, APP)
        for node in ("direct", "host"):
            inside.name_in(made, node, PUBLIC, INNER, OPEN, FUNCTION, APP)
        yield made


def topology(name: str) -> dict[str, Any]:
    """Three deployments with internal ingress; VMs in the project's network and in another project's."""
    made = small(name)
    compute, run = made["compute"], made["run"]
    access = {"privateIpGoogleAccess": True}
    compute["subnetworks"][0] |= access
    theirs = f"{SCOPE}/global/networks/theirs"
    compute["networks"].append({"name": "theirs", "selfLink": theirs})
    compute["subnetworks"] += [
        {"name": "far", "network": theirs, "ipCidrRange": "10.64.0.0/24", **access},
    ]
    compute["instances"].append(
        {"name": "stranger", "networkInterfaces": [{"subnetwork": "far", "networkIP": STRANGER}]}
    )
    made["vpcaccess"]["connectors"] = [
        {"name": "c1", "network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    ]
    (relay,) = run["services"]
    direct, inner = copy.deepcopy(relay), copy.deepcopy(relay)
    relay["template"]["vpcAccess"]["egress"] = "all-traffic"
    for one, its in ((direct, "direct"), (inner, "inner")):
        one["name"] = its
        del one["template"]["vpcAccess"]
    run["services"] += [direct, {**inner, "ingress": "internal"}]
    made["cloudfunctions"] = {
        "functions": [
            {
                "name": "first",
                "environment": "GEN_1",
                "buildConfig": {"entryPoint": "relay", "source": RELAY},
                "serviceConfig": {"ingressSettings": "ALLOW_INTERNAL_AND_GCLB"},
            }
        ]
    }
    made["appengine"] = {
        "application": {"id": "small", "locationId": "us-central1"},
        "versions": [{"name": "apps/small/services/default/versions/v1", "deployment": {"zip": {"sourceUrl": RELAY}}}],
        "services": [
            {
                "name": "apps/small/services/default",
                "split": {"allocations": {"v1": 1}},
                "networkSettings": {"ingressTrafficAllowed": "INGRESS_TRAFFIC_ALLOWED_INTERNAL_ONLY"},
            }
        ],
    }
    made["internet"] = {"hosts": [{"name": "host", "address": "203.0.113.10"}]}
    return made


def curl(bed: Program, node: str, url: str) -> Got:
    """What a node gets by TLS that it trusts."""
    done = bed.execute(node, "curl", "-sS", "-m", str(PATIENCE), "-w", "\n%{http_code}", f"https://{url}", check=False)
    text, _, status = done.stdout.rpartition("\n")
    assert done.returncode == 0, done.stderr
    return Got(int(status), text)


def called(bed: Program, service: str, url: str) -> Got:
    """What a service gets that asks a URL."""
    found = bed.invoke(service, f"/http?url=https://{url}&timeout={LONGEST}")
    return Got(found["status"], json.dumps(found["body"]))


def callers(bed: Program) -> set[str]:
    """The addresses that the front end has seen."""
    return {line.split()[0] for line in inside.docker("logs", host_name(bed.name, "front-end")).splitlines()}


@pytest.mark.behaviour("3.8.1", "3.3.5")
def test_a_vm_of_the_project_is_served_at_each_url(bed: Program) -> None:
    for url in URLS:
        got = curl(bed, "vm", url)
        assert got.status == 200, got.text
        assert "service" in json.loads(got.text)
    assert VM in callers(bed)


@pytest.mark.behaviour("3.3.5")
@pytest.mark.parametrize("node", ["host", "stranger"])
def test_the_internet_and_other_projects_are_refused(bed: Program, node: str) -> None:
    assert curl(bed, node, OPEN).status == 200
    told = {url: curl(bed, node, url) for url in URLS}
    assert [got.status for got in told.values()] == [404, 403, 403]
    assert "Error: Page not found" in told[INNER].text
    assert "Access is forbidden." in told[APP].text


@pytest.mark.behaviour("3.3.5")
def test_a_service_is_inside_if_its_connector_takes_it_there(bed: Program) -> None:
    assert called(bed, "relay", INNER).status == 200
    assert {address for address in callers(bed) if address.startswith("10.8.0.")}
    assert called(bed, "direct", INNER).status == 404


@pytest.mark.behaviour("3.3.5")
def test_nobody_says_by_himself_that_he_is_inside(bed: Program) -> None:
    """Neither by a header nor by the front end's own port."""
    front = next(service["frontEnd"] for service in bed.json("status")["services"])
    port = ["curl", "-sS", "-m", str(QUIET), "--haproxy-protocol", "-H", f"Host: {INNER}", f"http://{front}:81/"]
    assert bed.execute("host", *port, check=False).returncode == 28  # timed out
    header = [
        "curl",
        "-sS",
        "-m",
        str(PATIENCE),
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "X-Forwarded-For: 10.128.0.2",
    ]
    assert bed.execute("host", *header, f"https://{INNER}").stdout == "404"


@pytest.mark.behaviour("3.3.5")
def test_a_setting_is_changed_by_the_api(bed: Program) -> None:
    rest = Rest.up(bed, topology(bed.name))
    service = "v2/projects/small/locations/us-central1/services/inner"
    for ingress, status in (("INGRESS_TRAFFIC_ALL", 200), ("INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", 404)):
        operation = rest.done("PATCH", f"{service}?updateMask=ingress", {"ingress": ingress})
        assert "error" not in operation
        eventually(partial(answers, bed, status), ingress)
        assert curl(bed, "vm", INNER).status == 200


def answers(bed: Program, status: int) -> bool:
    """Whether the internet gets a status."""
    return curl(bed, "host", INNER).status == status
