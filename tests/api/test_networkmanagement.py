"""networkmanagement: Connectivity Tests are kept, and claim no result (behaviour 7.1)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.json_object import Json
from tests.api.harness import Api, Refused

TESTS = "v1/projects/demo/locations/global/connectivityTests"
NAME = f"{TESTS.removeprefix('v1/')}/t1"
BODY = {"source": {"ipAddress": "10.0.0.2"}, "destination": {"ipAddress": "10.0.0.3", "port": 80}}


def create(api: Api, **fields: Any) -> Json:
    return api.post(TESTS, {**BODY, **fields}, testId="t1")


@pytest.mark.behaviour("7.1.1", "7.1.3")
def test_a_test_is_not_analysed_and_says_so(api: Api) -> None:
    done = create(api)
    assert (done["metadata"]["target"], done["metadata"]["verb"]) == (NAME, "create")
    made = api.get(f"{TESTS}/t1")
    message = "type.googleapis.com/google.cloud.networkmanagement.v1.ConnectivityTest"
    assert done["response"] == {"@type": message, **made}
    assert (made["protocol"], made["displayName"]) == ("TCP", "t1")
    assert made["reachabilityDetails"]["result"] == "UNDETERMINED"
    assert "does not analyse" in made["reachabilityDetails"]["error"]["message"]
    assert api.get(f"v1/{done['name']}") == done


def test_changes(api: Api) -> None:
    create(api)
    api.patch(f"{TESTS}/t1", {"destination": {"port": 443}, "roundTrip": True}, updateMask="destination.port,roundTrip")
    made = api.get(f"{TESTS}/t1")
    assert made["destination"] == {"ipAddress": "10.0.0.3", "port": 443}
    assert made["returnReachabilityDetails"]["result"] == "UNDETERMINED"
    done = api.post(f"{TESTS}/t1:rerun", {})
    assert done["metadata"]["verb"] == "rerun"
    with pytest.raises(Refused, match="no field 'displayName'"):
        api.patch(f"{TESTS}/t1", {}, updateMask="displayName")


def test_lists_and_deletion(api: Api) -> None:
    create(api, labels={"env": "test"})
    api.post(TESTS, BODY, testId="t2")
    assert [one["name"] for one in api.get(TESTS, filter="labels.env=test")["resources"]] == [NAME]
    asked = api.call("GET", TESTS.replace("connectivityTests", "operations"), host="networkmanagement.googleapis.com")
    assert len(asked["operations"]) == 2
    api.delete(f"{TESTS}/t1")
    with pytest.raises(Refused, match=f"Resource '{NAME}' was not found"):
        api.get(f"{TESTS}/t1")


def test_tests_that_cannot_be(api: Api) -> None:
    create(api)
    with pytest.raises(Refused, match="already exists"):
        create(api)
    for fields, message in (({"source": {}}, "source"), ({"protocol": "X"}, "protocol 'X'")):
        with pytest.raises(Refused, match=message):
            api.post(TESTS, {**BODY, **fields}, testId="t2")
    with pytest.raises(Refused, match="test_id"):
        api.post(TESTS, BODY, testId="T")


def test_policies(api: Api) -> None:
    create(api)
    assert api.get(f"{TESTS}/t1:getIamPolicy") == {"version": 1, "etag": "ACAB"}
    with pytest.raises(Refused, match="was not found"):
        api.get(f"{TESTS}/t2:getIamPolicy")
