"""App Engine: the application, deployments, traffic and the ways into a network (behaviour 1.12.1, 3.1, 3.6)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from testbed.fabric.plan import Node
from testbed.json_object import Json
from testbed.model.topology import Topology
from tests.api.harness import Api, Refused

APP = "v1/apps/demo"
VERSIONS = f"{APP}/services/default/versions"
CONNECTOR = "projects/demo/locations/us-central1/connectors/c1"
BUCKET = "staging.demo.appspot.com"


@pytest.fixture(autouse=True)
def application(api: Api) -> None:
    done = api.post("v1/apps", {"id": "demo", "locationId": "us-central"})
    assert done["response"]["codeBucket"] == BUCKET


@pytest.fixture
def connector(api: Api) -> str:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    made = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    api.post("v1/projects/demo/locations/us-central1/connectors", made, connectorId="c1")
    return CONNECTOR


def staged(api: Api, files: dict[str, str]) -> Json:
    """The manifest of files that were uploaded, as `gcloud app deploy` does it."""
    manifest: Json = {}
    for path, text in files.items():
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        status, _ = api.send(
            "POST", f"upload/storage/v1/b/{BUCKET}/o", text.encode(), query=f"uploadType=media&name={digest}"
        )
        assert status == 200
        manifest[path] = {"sourceUrl": f"https://storage.googleapis.com/{BUCKET}/{digest}", "sha1Sum": digest}
    return {"files": manifest}


def version(api: Api, name: str = "v1", **fields: object) -> Json:
    """A version to create."""
    files = {"main.py": f"app = '{name}'\n", "sub/data.txt": "x"}
    return {"id": name, "runtime": "python311", "deployment": staged(api, files), **fields}


def node(api: Api) -> Node | None:
    """The node of the default service."""
    nodes = api.kernel.plan.nodes if api.kernel.plan else ()
    return next((node for node in nodes if node.name == "demo"), None)


def running(api: Api) -> str | None:
    """What the default service's source says."""
    found = node(api)
    return (Path(str(found.source)) / "main.py").read_text() if found else None


def test_there_is_one_application(api: Api) -> None:
    made = api.get(APP)
    assert (made["locationId"], made["servingStatus"]) == ("us-central", "SERVING")
    with pytest.raises(Refused, match="already exists") as caught:
        api.post("v1/apps", {"id": "demo", "locationId": "us-central"})
    assert caught.value.code == 409
    with pytest.raises(Refused, match="one App Engine application"):
        api.post("v1/apps", {"id": "other", "locationId": "us-central"})
    with pytest.raises(Refused) as missing:
        api.get("v1/apps/other")
    assert missing.value.code == 404
    assert api.get(f"{APP}/operations")["operations"][0]["metadata"]["method"].endswith(
        "Applications.CreateApplication"
    )


@pytest.mark.behaviour("1.12.1")
def test_places_have_app_engines_names(api: Api) -> None:
    found = [one["locationId"] for one in api.get(f"{APP}/locations", pageSize=500)["locations"]]
    assert "us-central" in found
    assert "us-central1" not in found


def test_runtimes(api: Api) -> None:
    found = api.get(f"{APP}:listRuntimes", environment="STANDARD")["runtimes"]
    assert ("python311", "Python 3.11") in [(one["name"], one["displayName"]) for one in found]


def test_a_version_is_deployed_from_its_files(api: Api, connector: str) -> None:
    access = {"name": connector, "egressSetting": "ALL_TRAFFIC"}
    done = api.post(VERSIONS, version(api, vpcAccessConnector=access, envVariables={"A": "b"}))
    assert done["response"]["name"] == "apps/demo/services/default/versions/v1", done
    assert done["metadata"]["createVersionMetadata"] == {}
    found = node(api)
    assert found is not None
    assert (found.kind, found.environment["A"], found.environment["GAE_VERSION"]) == ("app-engine-standard", "b", "v1")
    assert (Path(str(found.source)) / "sub" / "data.txt").read_text() == "x"
    shown = api.get(f"{VERSIONS}/v1")
    assert shown["vpcAccessConnector"] == access
    assert "deployment" not in shown
    assert "main.py" in api.get(f"{VERSIONS}/v1", view="FULL")["deployment"]["files"]
    assert api.get(f"{APP}/services/default")["split"] == {"allocations": {"v1": 1}}
    assert len(api.get(f"{VERSIONS}/v1/instances")["instances"]) == 1


@pytest.mark.behaviour("3.1.5", "1.12.3")
def test_a_version_deployed_without_a_connector_is_disconnected(api: Api, connector: str) -> None:
    """No tunnel is left, and no table that would lead into one."""

    def tunnels() -> int:
        assert api.kernel.plan is not None
        (region,) = (space for space in api.kernel.plan.namespaces if space.name == "serverless-us-central1")
        return len(region.nexthops)

    api.post(VERSIONS, version(api, vpcAccessConnector={"name": connector}))
    assert tunnels() == 2  # one connector, two instances
    api.post(VERSIONS, version(api))
    assert "vpcAccessConnector" not in api.get(f"{VERSIONS}/v1")
    assert tunnels() == 0


@pytest.mark.behaviour("3.3.5")
def test_the_ingress_of_a_service_is_internal(api: Api) -> None:
    api.post(VERSIONS, version(api, "v1"))
    settings = {"networkSettings": {"ingressTrafficAllowed": "INGRESS_TRAFFIC_ALLOWED_INTERNAL_ONLY"}}
    done = api.patch(f"{APP}/services/default", settings, updateMask="networkSettings")
    assert done["response"]["networkSettings"] == settings["networkSettings"]
    assert [workload.refused for workload in api.plane.topology().workloads] == [403]
    settings = {"networkSettings": {"ingressTrafficAllowed": "INGRESS_TRAFFIC_ALLOWED_ALL"}}
    api.patch(f"{APP}/services/default", settings, updateMask="networkSettings.ingressTrafficAllowed")
    assert [workload.refused for workload in api.plane.topology().workloads] == [None]


def test_only_the_version_with_the_traffic_runs(api: Api) -> None:
    api.post(VERSIONS, version(api, "v1"))
    api.post(VERSIONS, version(api, "v2"))
    assert running(api) == "app = 'v1'\n"
    assert "instances" not in api.get(f"{VERSIONS}/v2/instances")
    with pytest.raises(Refused, match="gets the traffic"):
        api.delete(f"{VERSIONS}/v1")
    with pytest.raises(Refused, match="does not split traffic"):
        api.patch(f"{APP}/services/default", {"split": {"allocations": {"v1": 0.5, "v2": 0.5}}}, updateMask="split")
    with pytest.raises(Refused, match="it is required"):
        api.patch(f"{APP}/services/default", {"split": {"shardBy": "IP"}}, updateMask="split")
    with pytest.raises(Refused) as missing:
        api.patch(f"{APP}/services/default", {"split": {"allocations": {"v3": 1}}}, updateMask="split")
    assert missing.value.code == 404
    done = api.patch(f"{APP}/services/default", {"split": {"allocations": {"v2": 1}}}, updateMask="split")
    assert done["response"]["split"]["allocations"] == {"v2": 1}
    assert running(api) == "app = 'v2'\n"
    api.delete(f"{VERSIONS}/v1")
    assert [one["id"] for one in api.get(VERSIONS)["versions"]] == ["v2"]
    with pytest.raises(Refused, match="Cannot delete the final version of a service"):
        api.delete(f"{VERSIONS}/v2")


def test_a_version_is_replaced(api: Api) -> None:
    api.post(VERSIONS, version(api))
    again = {**version(api), "deployment": staged(api, {"main.py": "app = 'new'\n"})}
    api.post(VERSIONS, again)
    assert running(api) == "app = 'new'\n"
    sources = api.plane.store.folder / "uploads" / "sources"
    assert len(list(sources.iterdir())) == 2  # somebody may be about to use it once more
    for path in sources.iterdir():
        os.utime(path, (0, 0))
    api.post(VERSIONS, again)
    assert len(list(sources.iterdir())) == 1  # what nothing uses any more is gone


def test_a_stopped_version_does_not_run(api: Api) -> None:
    api.post(VERSIONS, version(api, manualScaling={"instances": 2}))
    assert [one["availability"] for one in api.get(f"{VERSIONS}/v1/instances")["instances"]] == ["RESIDENT"] * 2
    api.patch(f"{VERSIONS}/v1", {"servingStatus": "STOPPED"}, updateMask="servingStatus")
    assert node(api) is None
    api.patch(f"{VERSIONS}/v1", {"servingStatus": "SERVING"}, updateMask="servingStatus")
    assert node(api) is not None
    with pytest.raises(Refused, match="cannot be changed"):
        api.patch(f"{VERSIONS}/v1", {"runtime": "python312"}, updateMask="runtime")
    api.post(VERSIONS, version(api, "v2"))
    with pytest.raises(Refused, match="manual or basic scaling"):
        api.patch(f"{VERSIONS}/v2", {"servingStatus": "STOPPED"}, updateMask="servingStatus")


def test_services_have_versions_of_their_own(api: Api) -> None:
    with pytest.raises(Refused, match="must be the 'default' service"):
        api.post(f"{APP}/services/api/versions", version(api))
    api.post(VERSIONS, version(api))
    api.post(f"{APP}/services/api/versions", version(api))
    assert [one["id"] for one in api.get(f"{APP}/services")["services"]] == ["api", "default"]
    with pytest.raises(Refused, match="default service may not be deleted"):
        api.delete(f"{APP}/services/default")
    api.delete(f"{APP}/services/api")
    with pytest.raises(Refused):
        api.get(f"{APP}/services/api")
    assert api.kernel.plan is not None
    assert "api" not in {one.name for one in api.kernel.plan.nodes}


@pytest.mark.behaviour("3.6")
def test_the_flexible_environment_lives_in_the_network(api: Api, connector: str) -> None:
    api.post(
        "compute/v1/projects/demo/regions/us-central1/subnetworks",
        {"name": "s", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"},
    )
    flexible = version(api, env="flex", network={"name": "vpc"})
    with pytest.raises(Refused, match="cannot be set for an App Engine Flexible Environment"):
        api.post(VERSIONS, {**flexible, "vpcAccessConnector": {"name": connector}})
    done = api.post(VERSIONS, flexible)
    assert "error" not in done, done
    assert api.get(f"{VERSIONS}/v1")["env"] == "flexible"
    assert api.get(f"{VERSIONS}/v1/instances")["instances"][0]["vmIp"].startswith("10.0.0.")
    image = {"id": "v2", "env": "flex", "runtime": "vm", "network": {"name": "vpc"}}  # as gcloud writes it
    with pytest.raises(Refused, match="not in the local Docker engine"):
        api.post(VERSIONS, {**image, "deployment": {"container": {"image": "nobody/has:it"}}})
    api.post(VERSIONS, {**image, "deployment": {"container": {"image": "testbed/vm"}}})
    api.patch(f"{APP}/services/default", {"split": {"allocations": {"v2": 1}}}, updateMask="split")
    found = node(api)
    assert found is not None
    assert (found.kind, found.image) == ("app-engine-flexible", "testbed/vm")
    assert api.get(f"{VERSIONS}/v2")["runtime"] == "custom"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"runtime": "nodejs20"}, "runtime nodejs20 is not supported"),
        ({"vpcAccessConnector": {"name": "c1"}}, "not the full name of a connector"),
        (
            {"vpcAccessConnector": {"name": CONNECTOR.replace("central1", "east1")}},
            "must be in the region of the application",
        ),
        ({"vpcAccess": {"vpcEgress": "ALL_TRAFFIC"}}, "only a single network interface"),
        ({"deployment": {"cloudBuildOptions": {"appYamlPath": "app.yaml"}}}, "no Cloud Build"),
        ({"deployment": {}}, "deployment is missing"),
        (
            {"network": {"name": "default"}},
            r"Network parameter is not supported in App Engine Standard\. Please, use vpc_",
        ),
        (
            {"deployment": {"files": {"../x": {"sourceUrl": "https://storage.googleapis.com/b/o"}}}},
            "gs://b/o: it is not in",
        ),
        ({"id": "Default"}, "version id"),
    ],
)
def test_what_cannot_be_run_is_refused(api: Api, change: Json, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        api.post(VERSIONS, {**version(api), **change})
    assert caught.value.code == 400
    assert "services" not in api.get(f"{APP}/services")


def test_a_path_that_leads_out_of_the_folder_is_refused(api: Api) -> None:
    made = version(api)
    files = made["deployment"]["files"]
    files["../../evil"] = files["main.py"]
    with pytest.raises(Refused, match="no folder can have"):
        api.post(VERSIONS, made)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vpcAccessConnector": {"name": CONNECTOR}}, "does not exist, or App Engine does not have permission"),
        (
            {"deployment": {"main.py": "", "requirements.txt": "django"}},
            "Build failed: No matching .* django",
        ),
        ({"deployment": {"app.py": ""}}, "Build failed: missing main.py"),
    ],
)
def test_what_fails_leaves_nothing(api: Api, change: Json, text: str) -> None:
    if files := change.get("deployment"):
        change = {"deployment": staged(api, files)}
    done = api.post(VERSIONS, {**version(api), **change})
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(json.dumps(done["error"]))
    assert "services" not in api.get(f"{APP}/services")
    assert node(api) is None


def test_what_a_topology_file_declares_is_shown(api: Api, tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    name = "apps/demo/services/default/versions/file"
    versions = [{"name": name, "deployment": {"zip": {"sourceUrl": str(tmp_path)}}}]
    function = {
        "name": "projects/demo/locations/us-central1/functions/f",
        "buildConfig": {"entryPoint": "f", "source": str(tmp_path)},
    }
    api.store.replace_topology(
        Topology.model_validate(
            {
                "name": "t",
                "project": "demo",
                "appengine": {"application": {"id": "demo", "locationId": "us-central"}, "versions": versions},
                "cloudfunctions": {"functions": [function]},
            }
        )
    )
    shown = api.get(f"{VERSIONS}/file", view="FULL")
    assert shown["deployment"]["zip"]["sourceUrl"] == f"file://{tmp_path}"
    assert api.get(f"{APP}/services/default")["split"] == {"allocations": {"file": 1}}
    made = api.get("v2/projects/demo/locations/us-central1/functions/f")
    assert made["buildConfig"]["source"] == {"gitUri": f"file://{tmp_path}"}
    first = api.patch("v2/projects/demo/locations/us-central1/functions/f", {"labels": {"a": "b"}}, updateMask="labels")
    assert first["response"]["labels"] == {"a": "b"}
    api.post(VERSIONS, version(api, "v2"))
    assert running(api) == ""  # the file's version still has the traffic
