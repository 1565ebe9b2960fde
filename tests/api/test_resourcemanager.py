"""cloudresourcemanager: projects are whatever is named; their policies are kept."""

from __future__ import annotations

import pytest

from tests.api.harness import Api, Refused

OWNERS = {"role": "roles/owner", "members": ["user:a@example.com"]}


@pytest.mark.parametrize("name", ["demo", "never-seen"])
def test_any_project_is_there(api: Api, name: str) -> None:
    old, new = api.get(f"v1/projects/{name}"), api.get(f"v3/projects/{name}")
    assert (old["projectId"], old["lifecycleState"]) == (new["projectId"], new["state"]) == (name, "ACTIVE")
    assert new["name"] == f"projects/{old['projectNumber']}"


def test_a_project_is_found_by_its_number(api: Api) -> None:
    number = api.get("v1/projects/demo")["projectNumber"]
    assert api.get(f"v1/projects/{number}")["projectId"] == "demo"
    assert api.get(f"v3/projects/{number}")["projectId"] == "demo"


def test_a_list_has_the_projects_with_resources(api: Api) -> None:
    api.post("compute/v1/projects/host/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    assert [one["projectId"] for one in api.get("v1/projects", filter="lifecycleState:ACTIVE")["projects"]] == [
        "demo",
        "host",
    ]
    assert [one["projectId"] for one in api.get("v3/projects:search", query="projectId:host")["projects"]] == ["host"]


def test_a_project_is_made_once(api: Api) -> None:
    done = api.post("v1/projects", {"projectId": "service-1", "name": "Service", "labels": {"env": "test"}})
    assert done["done"] is True
    assert (done["response"]["name"], done["metadata"]["ready"]) == ("Service", True)
    assert api.get(f"v1/{done['name']}") == done
    assert api.get("v3/projects/service-1")["labels"] == {"env": "test"}
    with pytest.raises(Refused) as caught:
        api.post("v3/projects", {"projectId": "service-1"})
    assert caught.value.status == "ALREADY_EXISTS"
    with pytest.raises(Refused, match="project_id"):
        api.post("v3/projects", {"projectId": "No"})


def test_a_policy_is_kept(api: Api) -> None:
    assert api.post("v1/projects/demo:getIamPolicy", {}) == {"version": 1, "etag": "ACAB"}
    made = api.post("v1/projects/demo:setIamPolicy", {"policy": {"bindings": [OWNERS], "etag": "ACAB"}})
    assert made["bindings"] == [OWNERS]
    assert made["etag"] != "ACAB"
    assert api.post("v3/projects/demo:getIamPolicy", {}) == made
    entry = list(api.audit.entries())[-1]
    assert entry["logName"] == "projects/demo/logs/cloudaudit.googleapis.com%2Factivity"
    assert entry["resource"]["labels"]["method"] == "cloudresourcemanager.projects.setIamPolicy"
    with pytest.raises(Refused, match="concurrent policy changes") as caught:
        api.post("v1/projects/demo:setIamPolicy", {"policy": {"etag": "ACAB"}})
    assert (caught.value.code, caught.value.status) == (409, "ABORTED")
    assert api.post("v1/projects/other:getIamPolicy", {})["etag"] == "ACAB"


def test_everybody_may_everything(api: Api) -> None:
    asked = {"permissions": ["vpcaccess.connectors.use", "compute.networks.create"]}
    assert api.post("v1/projects/demo:testIamPermissions", asked) == asked


def test_there_is_no_organization(api: Api) -> None:
    assert api.post("v1/organizations:search", {}) == api.get("v3/organizations:search") == {}
    assert api.get("v3/folders:search") == {}
    assert api.post("v1/projects/demo:getAncestry", {}) == {
        "ancestor": [{"resourceId": {"type": "project", "id": "demo"}}]
    }


def test_projects_that_were_never_made_are_there_unless_the_testbed_is_strict(api: Api) -> None:
    calls = {
        "v1/projects/never-made": "The caller does not have permission",
        "compute/v1/projects/never-made/global/networks": (
            "Required 'compute.networks.list' permission for 'projects/never-made'"
        ),
        "v1/projects/never-made/locations/us-central1/connectors": (
            "Permission denied on resource project never-made."
        ),
    }
    for path in calls:
        api.get(path)
    api.store.strict_projects = True
    for path, text in calls.items():
        with pytest.raises(Refused) as caught:
            api.get(path)
        assert (caught.value.code, caught.value.message) == (403, text)
    api.get("compute/v1/projects/demo/global/networks")
    api.post("v1/projects", {"projectId": "never-made"})
    for path in calls:
        api.get(path)
