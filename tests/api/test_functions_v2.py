"""Cloud Functions v2: sources, connectors, states (behaviour 1.10.5, 3.1)."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from testbed.api.source import folders
from testbed.fabric.plan import Node
from testbed.json_object import Json
from tests.api.harness import Api, Refused

REGION = "v2/projects/demo/locations/us-central1"
FUNCTIONS = f"{REGION}/functions"
NAME = "projects/demo/locations/us-central1/functions/hello"
CONNECTOR = "projects/demo/locations/us-central1/connectors/c1"
SOURCE = {"main.py": "def hello(request):\n    return 'hi'\n", "requirements.txt": "flask\n"}


def zipped(files: dict[str, str]) -> bytes:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


def uploaded(api: Api, files: dict[str, str] | bytes = b"") -> Json:
    """The source that an upload leads to, as `gcloud functions deploy` does it."""
    given = api.post(f"{FUNCTIONS}:generateUploadUrl", {})
    data = files if isinstance(files, bytes) and files else zipped(dict(files) if files else SOURCE)
    status, _ = api.send("PUT", urlsplit(given["uploadUrl"]).path.lstrip("/"), data)
    assert status == 200
    return {"storageSource": given["storageSource"]}


def body(api: Api, **service: object) -> Json:
    """A function to create."""
    return {
        "buildConfig": {"runtime": "python311", "entryPoint": "hello", "source": uploaded(api)},
        "serviceConfig": dict(service),
        "labels": {"a": "b"},
    }


@pytest.fixture
def connector(api: Api) -> str:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    made = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    api.post("v1/projects/demo/locations/us-central1/connectors", made, connectorId="c1")
    return CONNECTOR


def node(api: Api) -> Node | None:
    nodes = api.kernel.plan.nodes if api.kernel.plan else ()
    return next((node for node in nodes if node.name == "hello"), None)


def test_a_function_is_deployed_from_its_zip(api: Api, connector: str) -> None:
    done = api.post(
        FUNCTIONS, body(api, vpcConnector=connector, vpcConnectorEgressSettings="ALL_TRAFFIC"), functionId="hello"
    )
    assert done["response"]["state"] == "ACTIVE", done
    assert done["metadata"]["operationType"] == "CREATE_FUNCTION"
    made = api.get(f"{FUNCTIONS}/hello")
    assert made["serviceConfig"]["vpcConnector"] == CONNECTOR
    assert made["serviceConfig"]["vpcConnectorEgressSettings"] == "ALL_TRAFFIC"
    assert made["url"] == "https://us-central1-demo.cloudfunctions.net/hello"
    assert made["environment"] == "GEN_2"
    started = node(api)
    assert started is not None
    assert (Path(str(started.source)) / "main.py").read_text() == SOURCE["main.py"]
    assert api.get("v1/projects/demo/locations/us-central1/connectors/c1")["connectedProjects"] == ["demo"]


def test_the_source_can_be_downloaded_again(api: Api) -> None:
    api.post(FUNCTIONS, body(api), functionId="hello")
    url = urlsplit(api.post(f"{FUNCTIONS}/hello:generateDownloadUrl", {})["downloadUrl"])
    status, content = api.send("GET", url.path.lstrip("/"), query=url.query)
    assert status == 200
    assert zipfile.ZipFile(io.BytesIO(content)).read("main.py").decode() == SOURCE["main.py"]


def test_a_caller_by_the_proxy_is_sent_to_cloud_storage(api: Api) -> None:
    given = api.call("POST", f"{FUNCTIONS}:generateUploadUrl", {}, host="cloudfunctions.googleapis.com")
    assert given["uploadUrl"].startswith("https://storage.googleapis.com/gcf-v2-uploads-")
    api.store.port = 7667
    assert api.post(f"{FUNCTIONS}:generateUploadUrl", {})["uploadUrl"].startswith("http://127.0.0.1:7667/gcf-v2-")


@pytest.mark.behaviour("1.10.5")
def test_a_missing_connector_is_the_operations_error(api: Api) -> None:
    done = api.post(FUNCTIONS, body(api, vpcConnector=CONNECTOR), functionId="hello")
    text = f"Problem connecting to VPC Connector {CONNECTOR}: Serverless VPC Access is not found."
    assert done["error"]["message"] == text
    left = api.get(f"{FUNCTIONS}/hello")
    assert left["state"] == "FAILED"
    assert left["stateMessages"][0]["message"] == text
    assert node(api) is None


def test_a_failed_function_can_be_deployed_again(api: Api, connector: str) -> None:
    missing = connector.replace("c1", "c2")
    api.post(FUNCTIONS, body(api, vpcConnector=missing), functionId="hello")
    done = api.patch(
        f"{FUNCTIONS}/hello", {"serviceConfig": {"vpcConnector": connector}}, updateMask="service_config.vpc_connector"
    )
    assert "error" not in done
    assert api.get(f"{FUNCTIONS}/hello")["state"] == "ACTIVE"
    assert node(api) is not None


@pytest.mark.behaviour("1.10.5")
def test_the_connector_sticks_until_it_is_cleared(api: Api, connector: str) -> None:
    api.post(FUNCTIONS, body(api, vpcConnector=connector), functionId="hello")
    changed = {"buildConfig": {"source": uploaded(api, {**SOURCE, "main.py": "def hello(request): return 'you'"})}}
    api.patch(f"{FUNCTIONS}/hello", changed, updateMask="build_config.source")
    made = api.get(f"{FUNCTIONS}/hello")
    assert made["serviceConfig"]["vpcConnector"] == connector
    assert made["buildConfig"]["source"] == changed["buildConfig"]["source"]
    assert made["labels"] == {"a": "b"}
    api.patch(f"{FUNCTIONS}/hello", {}, updateMask="service_config.vpc_connector")
    assert "vpcConnector" not in api.get(f"{FUNCTIONS}/hello")["serviceConfig"]


@pytest.mark.behaviour("1.12.1")
def test_a_connector_of_another_region_is_refused(api: Api) -> None:
    with pytest.raises(Refused, match="must be in the region of the function"):
        api.post(
            FUNCTIONS, body(api, vpcConnector=CONNECTOR.replace("us-central1", "europe-west1")), functionId="hello"
        )
    with pytest.raises(Refused):
        api.get(f"{FUNCTIONS}/hello")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (
            {"main.py": "", "requirements.txt": "pg8000==1.31\nflask"},
            r"No matching distribution found for pg8000==1\.31",
        ),
        (
            {"main.py": "", "requirements.txt": "git+https://example.com/a.git"},
            r"requirements\.txt asks for 'git\+https",
        ),
        ({"requirements.txt": ""}, r"missing main\.py"),
    ],
)
def test_a_build_that_fails_is_the_operations_error(api: Api, files: dict[str, str], text: str) -> None:
    made = {"buildConfig": {"runtime": "python312", "entryPoint": "hello", "source": uploaded(api, files)}}
    done = api.post(FUNCTIONS, made, functionId="hello")
    with pytest.raises(AssertionError, match=f"Build failed: {text}"):
        raise AssertionError(done["error"]["message"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"buildConfig": {"runtime": "nodejs20"}}, "runtime nodejs20 is not supported"),
        ({"eventTrigger": {"eventType": "google.cloud.pubsub.topic.v1.messagePublished"}}, "eventTrigger: "),
        (
            {"buildConfig": {"runtime": "python311", "source": {"storageSource": {"bucket": "b", "object": "o"}}}},
            "not in",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(api: Api, change: Json, text: str) -> None:
    made = {"buildConfig": {"runtime": "python311", "entryPoint": "hello", "source": uploaded(api)}, **change}
    made["buildConfig"] = {"entryPoint": "hello", "source": uploaded(api), **made["buildConfig"]}
    with pytest.raises(Refused, match=text) as caught:
        api.post(FUNCTIONS, made, functionId="hello")
    assert caught.value.code == 400
    assert "functions" not in api.get(FUNCTIONS)


def test_what_is_no_archive_is_refused(api: Api) -> None:
    made = {"buildConfig": {"runtime": "python311", "entryPoint": "hello", "source": uploaded(api, b"no zip")}}
    with pytest.raises(Refused, match="not a zip archive"):
        api.post(FUNCTIONS, made, functionId="hello")


def test_a_function_is_deleted(api: Api) -> None:
    api.post(FUNCTIONS, body(api), functionId="hello")
    done = api.delete(f"{FUNCTIONS}/hello")
    assert done["metadata"]["verb"] == "delete"
    with pytest.raises(Refused) as caught:
        api.get(f"{FUNCTIONS}/hello")
    assert caught.value.code == 404


def test_runtimes(api: Api) -> None:
    found = api.get(f"{REGION}/runtimes")["runtimes"]
    second = {runtime["name"]: runtime for runtime in found if runtime["environment"] == "GEN_2"}
    assert "warnings" not in second["python311"]
    assert "3.11" in second["python313"]["warnings"][0]
    asked = api.get(f"{REGION}/runtimes", filter="name=python311 AND environment=GEN_1")["runtimes"]
    assert [(one["name"], one["environment"]) for one in asked] == [("python311", "GEN_1")]


def test_a_url_that_was_not_given_out_takes_nothing(api: Api) -> None:
    status, _ = api.send("PUT", "gcf-v2-uploads-123-us-central1/00000000-0000-0000-0000-000000000000.zip", b"x")
    assert status == 404


def test_cloud_build_builds_nothing(api: Api) -> None:
    found = api.get("v1/projects/demo/locations/us-central1/defaultServiceAccount")
    assert found["serviceAccountEmail"].endswith("@cloudbuild.gserviceaccount.com")
    with pytest.raises(Refused, match=r"method cloudbuild\.projects\.builds\.create") as caught:
        api.post("v1/projects/demo/builds", {})
    assert caught.value.code == 501


def test_a_source_is_unpacked_without_the_lock(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be half a gigabyte: nobody waits for that but who deploys it."""
    extract, locked = folders._extract, list[bool]()

    def noted(*arguments: Any) -> None:
        locked.append(api.plane.store.in_transaction)
        extract(*arguments)

    monkeypatch.setattr(folders, "_extract", noted)
    api.post(FUNCTIONS, body(api), functionId="hello")
    assert locked == [False]
