"""Cloud Functions v1: the same functions, in the words of the first generation."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from testbed.api.services.functions import translation
from testbed.json_object import Json
from tests.api.harness import Api, Refused
from tests.api.test_functions_v2 import SOURCE, zipped

FUNCTIONS = "v1/projects/demo/locations/us-central1/functions"
NAME = "projects/demo/locations/us-central1/functions/hello"


def body(api: Api) -> Json:
    """A function to create, as `gcloud functions deploy --no-gen2` sends it."""
    url = api.post(f"{FUNCTIONS}:generateUploadUrl", {})["uploadUrl"]
    assert api.send("PUT", urlsplit(url).path.lstrip("/"), zipped(SOURCE))[0] == 200
    return {
        "name": NAME,
        "entryPoint": "hello",
        "runtime": "python311",
        "sourceUploadUrl": url,
        "timeout": "30s",
        "httpsTrigger": {"securityLevel": "SECURE_ALWAYS"},
        "availableMemoryMb": 512,
        "minInstances": 1,
        "environmentVariables": {"A": "b"},
        "labels": {"l": "x"},
    }


def test_both_versions_show_a_function(api: Api) -> None:
    sent = body(api)
    done = api.post(FUNCTIONS, sent)
    assert done["name"].startswith("operations/")
    assert done["metadata"]["type"] == "CREATE_FUNCTION"
    first = api.get(f"{FUNCTIONS}/hello")
    assert first["status"] == "ACTIVE"
    assert first["httpsTrigger"] == {
        "securityLevel": "SECURE_ALWAYS",
        "url": "https://us-central1-demo.cloudfunctions.net/hello",
    }
    assert {key: first[key] for key in sent if key != "httpsTrigger"} == {
        key: sent[key] for key in sent if key != "httpsTrigger"
    }
    second = api.get(f"v2/{NAME}")
    assert second["environment"] == "GEN_1"
    assert second["serviceConfig"]["timeoutSeconds"] == 30
    assert second["serviceConfig"]["availableMemory"] == "512M"
    assert api.get(f"v1/{done['name']}")["done"] is True
    assert [one["name"] for one in api.get(FUNCTIONS)["functions"]] == [NAME]


def test_a_patch_changes_what_its_mask_names(api: Api) -> None:
    api.post(FUNCTIONS, body(api))
    api.patch(f"{FUNCTIONS}/hello", {"name": NAME, "timeout": "60s", "labels": {}}, updateMask="timeout")
    made = api.get(f"{FUNCTIONS}/hello")
    assert (made["timeout"], made["labels"], made["versionId"]) == ("60s", {"l": "x"}, "2")


def test_a_function_of_the_second_generation_is_not_the_firsts(api: Api) -> None:
    first = translation.to_v2(body(api))
    api.post(FUNCTIONS.replace("v1/", "v2/", 1), {**first, "environment": "GEN_2"}, functionId="hello")
    assert "functions" not in api.get(FUNCTIONS)
    with pytest.raises(Refused, match="2nd generation"):
        api.delete(f"{FUNCTIONS}/hello")
    with pytest.raises(Refused, match="2nd generation"):
        api.get(f"{FUNCTIONS}/hello")


def test_the_old_network_field_is_refused(api: Api) -> None:
    with pytest.raises(Refused, match="use vpcConnector"):
        api.post(FUNCTIONS, {**body(api), "network": "vpc"})


def test_events_are_refused(api: Api) -> None:
    sent = {**body(api), "eventTrigger": {"eventType": "google.pubsub.topic.publish", "resource": "t"}}
    with pytest.raises(Refused, match="eventTrigger: "):
        api.post(FUNCTIONS, sent)


def test_translation_is_the_same_there_and_back() -> None:
    one: Json = {
        "entryPoint": "f",
        "runtime": "python311",
        "timeout": "60s",
        "availableMemoryMb": 256,
        "httpsTrigger": {},
        "vpcConnector": "c",
        "vpcConnectorEgressSettings": "ALL_TRAFFIC",
        "sourceArchiveUrl": "gs://b/o/p.zip",
    }
    assert translation.to_v1(translation.to_v2(one)) == one
    assert translation.to_v1({"serviceConfig": {"availableMemory": "1Gi"}})["availableMemoryMb"] == 1024


def test_the_details_say_which_field_is_wrong(api: Api) -> None:
    with pytest.raises(Refused, match=r"^400: The request has errors$") as caught:
        api.post(FUNCTIONS, {**body(api), "vpcConnector": "projects/demo/locations/us-east1/connectors/c1"})
    (detail,) = caught.value.error["details"]
    (violation,) = detail["fieldViolations"]
    assert (violation["field"], "region" in violation["description"]) == ("vpc_connector", True)
