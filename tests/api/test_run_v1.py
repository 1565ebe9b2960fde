"""Cloud Run v1 as gcloud speaks it: the same services, in Knative's words (clients 3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.json_object import Json
from testbed.model.core.projects import project_number
from tests.api.harness import Api, Refused

HOST = "us-central1-run.googleapis.com"
NAMESPACE = "apis/serving.knative.dev/v1/namespaces/demo"
C1 = "projects/demo/locations/us-central1/connectors/c1"


def body(name: str = "hello", **annotations: str) -> Json:
    """What `gcloud run deploy` posts; it sends an empty status along."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "demo", "annotations": {"run.googleapis.com/client-name": "gcloud"}},
        "spec": {
            "template": {
                "metadata": {
                    "annotations": {f"run.googleapis.com/{key}": value for key, value in annotations.items()},
                    "labels": {"client.knative.dev/nonce": "abc"},
                },
                "spec": {"containers": [{"image": "testbed/runtime", "env": [{"name": "A", "value": "b"}]}]},
            }
        },
        "status": {},
    }


def get(api: Api, path: str, **query: Any) -> Json:
    return api.get(f"{NAMESPACE}/{path}", host=HOST, **query)


def post(api: Api, given: Json) -> Json:
    return api.post(f"{NAMESPACE}/services", given, host=HOST)


def put(api: Api, given: Json) -> Json:
    return api.put(f"{NAMESPACE}/services/{given['metadata']['name']}", given, host=HOST)


@pytest.fixture
def connector(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    api.post(
        "v1/projects/demo/locations/us-central1/connectors",
        {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3},
        connectorId="c1",
    )


def conditions(resource: Json) -> dict[str, str]:
    return {one["type"]: one["status"] for one in resource["status"]["conditions"]}


@pytest.mark.behaviour("3.1")
@pytest.mark.usefixtures("connector")
def test_gcloud_finds_what_it_waits_for(api: Api) -> None:
    made = post(api, body(**{"vpc-access-connector": "c1", "vpc-access-egress": "all"}))
    assert conditions(made) == {"Ready": "True", "ConfigurationsReady": "True", "RoutesReady": "True"}
    assert made["status"]["observedGeneration"] == made["metadata"]["generation"]
    assert made["status"]["latestReadyRevisionName"].startswith("hello-00001-")
    assert made["status"]["url"].endswith(".us-central1.run.app")
    assert made["metadata"]["namespace"] == str(project_number("demo"))
    assert made["metadata"]["labels"]["cloud.googleapis.com/location"] == "us-central1"
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    assert annotations["run.googleapis.com/vpc-access-connector"] == "c1"  # as it was sent
    assert annotations["run.googleapis.com/vpc-access-egress"] == "all-traffic"  # behaviour 3.1
    seen = api.get("v2/projects/demo/locations/us-central1/services/hello")
    assert seen["client"] == "gcloud"
    assert seen["template"]["vpcAccess"]["egress"] == "ALL_TRAFFIC"


def test_no_annotation_comes_back_that_was_not_sent(api: Api) -> None:
    made = post(api, body())
    revision = get(api, f"revisions/{made['status']['latestReadyRevisionName']}")
    for shown in (made["spec"]["template"], revision):
        assert not {name for name in shown["metadata"]["annotations"] if "cpu" in name}
    again = put(api, made)
    assert again["status"]["latestReadyRevisionName"] == made["status"]["latestReadyRevisionName"]
    template = body(**{"startup-cpu-boost": "true", "cpu-throttling": "false"})["spec"]["template"]
    changed = put(api, {**again, "spec": {**again["spec"], "template": template}})
    annotations = changed["spec"]["template"]["metadata"]["annotations"]
    assert annotations["run.googleapis.com/startup-cpu-boost"] == "true"
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"


def test_revisions_are_found_by_labels(api: Api) -> None:
    post(api, body())
    post(api, body("other"))
    (revision,) = get(api, "revisions", labelSelector="serving.knative.dev/service = hello")["items"]
    assert revision["metadata"]["labels"]["client.knative.dev/nonce"] == "abc"
    assert conditions(revision)["Active"] == "True"
    assert get(api, f"revisions/{revision['metadata']['name']}") == revision
    both = get(api, "revisions", labelSelector="client.knative.dev/nonce in (abc, def),serving.knative.dev/service=x")
    assert both["items"] == []
    assert len(get(api, "revisions", labelSelector="client.knative.dev/nonce in (abc, def)")["items"]) == 2


def test_read_modify_write_makes_a_revision_and_a_stale_one_is_a_conflict(api: Api) -> None:
    read = post(api, body())
    changed = {**read, "spec": {**read["spec"], "template": body(**{"vpc-access-egress": ""})["spec"]["template"]}}
    changed["spec"]["template"]["metadata"]["annotations"] = {}
    changed["spec"]["template"]["metadata"]["labels"] = {"client.knative.dev/nonce": "def"}
    assert put(api, changed)["status"]["latestReadyRevisionName"].startswith("hello-00002-")
    with pytest.raises(Refused) as caught:
        put(api, changed)
    assert (caught.value.code, caught.value.status) == (409, "ABORTED")
    assert "was specified but current version is" in caught.value.message


def test_the_same_again_makes_no_revision(api: Api) -> None:
    read = post(api, body())
    again = put(api, {**read, "metadata": {**read["metadata"], "labels": {"a": "b"}}})
    assert again["status"]["latestCreatedRevisionName"] == read["status"]["latestCreatedRevisionName"]
    assert again["metadata"]["labels"]["a"] == "b"


def test_a_missing_image_fails_the_way_google_says(api: Api) -> None:
    given = body()
    given["spec"]["template"]["spec"]["containers"][0]["image"] = "gcr.io/demo/nothing"
    made = post(api, given)
    assert conditions(made)["Ready"] == "False"
    ready = made["status"]["conditions"][0]
    assert ready["reason"] == "RevisionFailed"
    assert ready["message"].endswith("is not ready and cannot serve traffic. Image 'gcr.io/demo/nothing' not found.")
    (revision,) = get(api, "revisions")["items"]
    assert revision["status"]["conditions"][0]["reason"] == "ContainerMissing"


def test_traffic_by_name_and_back(api: Api) -> None:
    first = post(api, body())
    name = first["status"]["latestReadyRevisionName"]
    changed = {**first, "spec": {**first["spec"], "traffic": [{"revisionName": name, "percent": 100}]}}
    pinned = put(api, changed)
    assert pinned["status"]["traffic"] == [{"revisionName": name, "percent": 100}]
    pinned["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    assert put(api, pinned)["status"]["traffic"] == [{"revisionName": name, "latestRevision": True, "percent": 100}]


def test_both_hosts_list_and_delete(api: Api) -> None:
    post(api, body())
    assert len(get(api, "services")["items"]) == 1
    assert len(api.get("v1/projects/demo/locations/-/services", host="run.googleapis.com")["items"]) == 1
    assert len(api.get(f"{NAMESPACE}/services", host="run.googleapis.com")["items"]) == 1
    assert api.get(f"{NAMESPACE}/services", host="us-east1-run.googleapis.com")["items"] == []
    assert get(api, "configurations/hello")["spec"]["template"] == get(api, "services/hello")["spec"]["template"]
    assert get(api, "routes")["items"][0]["status"]["traffic"][0]["percent"] == 100
    assert api.delete(f"{NAMESPACE}/services/hello", host=HOST) == {"status": "Success"}
    with pytest.raises(Refused) as caught:
        get(api, "services/hello")
    assert caught.value.code == 404


def test_a_dry_run_changes_nothing(api: Api) -> None:
    shown = api.post(f"{NAMESPACE}/services", body(), host=HOST, dryRun="all")
    assert shown["metadata"]["name"] == "hello"
    assert get(api, "services")["items"] == []


@pytest.mark.parametrize(
    ("annotation", "value", "code"),
    [
        ("network-interfaces", '[{"network":"vpc"}]', 404),
        ("vpc-access-egress", "all-traffic", 400),
        ("network-interfaces", "{", 400),
    ],
)
def test_what_annotations_cannot_ask_for(api: Api, annotation: str, value: str, code: int) -> None:
    with pytest.raises(Refused) as caught:
        post(api, body(**{annotation: value}))
    assert caught.value.code == code


def test_policies_are_kept(api: Api) -> None:
    post(api, body())
    name = "v1/projects/demo/locations/us-central1/services/hello"
    binding = {"role": "roles/run.invoker", "members": ["allUsers"]}
    policy = api.get(f"{name}:getIamPolicy")
    made = api.post(f"{name}:setIamPolicy", {"policy": {**policy, "bindings": [binding]}})
    assert api.get(name.replace("v1", "v2") + ":getIamPolicy") == made
    assert made["bindings"] == [binding]
    with pytest.raises(Refused) as caught:
        api.post(f"{name}:setIamPolicy", {"policy": policy})
    assert caught.value.status == "ABORTED"
    asked = {"permissions": ["run.services.setIamPolicy"]}
    assert api.post(f"{name}:testIamPermissions", asked) == asked


def test_permissions_are_tested_before_there_is_a_service(api: Api) -> None:  # as `gcloud run deploy` does
    asked = {"permissions": ["run.services.setIamPolicy"]}
    assert api.post("v1/projects/demo/locations/us-central1/services/none:testIamPermissions", asked) == asked
