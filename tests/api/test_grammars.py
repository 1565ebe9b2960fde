"""Names by their own grammars, wherever they enter: what is refused never gets into a configuration."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from testbed.fabric import node_specs
from testbed.model.serverless.workload import from_service
from tests.api.harness import Api, Refused
from tests.api.test_run_services import SERVICES
from tests.api.test_run_services import body as service
from tests.unit.topologies import service as given
from tests.unit.topologies import small

HOSTILE = ("a;b", "a.x; return 299; #", "A", "a b", "a\nb", "-a", "a" * 64, 'a"b', "a$b", "a{b}", "é", "a'b", "a\x00b")
PATHS = (
    "compute/v1/projects/{}/global/networks",
    "v2/projects/{}/locations/us-central1/services",
    "v1/projects/{}/locations/us-central1/connectors",
    "dns/v1/projects/{}/managedZones",
    "v1/apps/{}/services",
    "apis/serving.knative.dev/v1/namespaces/{}/services",
)


@pytest.mark.parametrize("project", HOSTILE)
@pytest.mark.parametrize("path", PATHS)
def test_projects(api: Api, path: str, project: str) -> None:
    for verb in ("GET", "POST"):
        with pytest.raises(Refused) as refused:
            api.call(verb, path.format(quote(project, safe="")), {} if verb == "POST" else None)
        assert refused.value.code in {400, 404}  # App Engine has no method to make a service
    assert api.get("compute/v1/projects/never-made/global/networks").get("items") is None


@pytest.mark.parametrize("project", HOSTILE)
def test_projects_in_queries_and_bodies(api: Api, project: str) -> None:
    for path, body, query in (
        ("storage/v1/b", {"name": "bucket"}, {"project": project}),
        ("v1/apps", {"id": project, "locationId": "us-central"}, {}),
    ):
        with pytest.raises(Refused) as refused:
            api.post(path, body, **query)
        assert refused.value.code == 400


@pytest.mark.parametrize("account", [*HOSTILE, "robot", "a@b; return", "@p.iam.gserviceaccount.com", "a@"])
def test_service_accounts(api: Api, account: str) -> None:
    body = service()
    body["template"]["serviceAccount"] = account
    with pytest.raises(Refused, match="must be the address of a service account") as refused:
        api.post(SERVICES, body, serviceId="hello")
    assert refused.value.code == 400


@pytest.mark.parametrize("name", ["a\nb", "a\rb", ".", "..", "a" * 1025, "é" * 513, ".well-known/acme-challenge/x"])
def test_objects(api: Api, name: str) -> None:
    api.post("storage/v1/b", {"name": "bucket"}, project="demo")
    status, _ = api.send("POST", "upload/storage/v1/b/bucket/o", b"x", query=f"uploadType=media&name={quote(name)}")
    assert status == 400
    for kept in ("é" * 512, "a;b $x {y}"):
        status, _ = api.send("POST", "upload/storage/v1/b/bucket/o", b"x", query=f"uploadType=media&name={quote(kept)}")
        assert status == 200


def test_a_name_that_came_in_all_the_same_costs_its_own_service_only() -> None:
    (good,) = small(run={"services": [given("web")]}).run.services
    workload = from_service(good, None)
    bad = replace(workload, host="a;b")
    node = node_specs.front_end([bad, workload], {workload.name: ["10.0.0.1"]}, {workload.name: []})
    assert "a;b" not in str(node.variables)
    assert workload.host in str(node.variables)
