"""serviceusage: APIs are enabled and disabled, and one that is disabled is refused everywhere (behaviour 1.1.8)."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from testbed.api.calls.admission import ServiceDisabled
from testbed.api.contract import errors
from testbed.model.core.projects import project_number
from tests.api.harness import Api, Refused

SERVICES = "v1/projects/demo/services"
VPCACCESS = f"{SERVICES}/vpcaccess.googleapis.com"
CONNECTORS = "v1/projects/demo/locations/us-central1/connectors"
NUMBER = project_number("demo")
TYPE = "type.googleapis.com/google.api.serviceusage.v1"


def test_what_is_served_is_enabled(api: Api) -> None:
    assert api.get(VPCACCESS) == {
        "name": f"projects/{NUMBER}/services/vpcaccess.googleapis.com",
        "parent": f"projects/{NUMBER}",
        "config": {"name": "vpcaccess.googleapis.com", "title": "Serverless VPC Access API"},
        "state": "ENABLED",
    }
    assert api.get(f"v1/projects/{NUMBER}/services/vpcaccess.googleapis.com") == api.get(VPCACCESS)
    assert api.get(f"{SERVICES}/youtube.googleapis.com")["state"] == "DISABLED"


def test_lists_filter_and_page(api: Api) -> None:
    first = api.get(SERVICES, filter="state:ENABLED", pageSize=5)
    names = [one["config"]["name"] for one in first["services"]]
    assert len(names) == 5
    rest = api.get(SERVICES, filter="state:ENABLED", pageToken=first["nextPageToken"])
    names += [one["config"]["name"] for one in rest["services"]]
    assert {"compute.googleapis.com", "run.googleapis.com", "vpcaccess.googleapis.com"} <= set(names)
    assert len(names) == len(set(names)) < 30
    assert len(api.get(SERVICES, filter="state:DISABLED", pageSize=200)["services"]) > 100


@pytest.mark.behaviour("1.1.8")
def test_a_disabled_api_is_refused(api: Api) -> None:
    done = api.post(f"{VPCACCESS}:disable", {"disableDependentServices": False})
    assert done["metadata"]["resourceNames"] == [f"projects/{NUMBER}/services/vpcaccess.googleapis.com"]
    assert (done["response"]["@type"], done["response"]["service"]["state"]) == (
        f"{TYPE}.DisableServiceResponse",
        "DISABLED",
    )
    with pytest.raises(Refused) as caught:
        api.get(CONNECTORS)
    url = f"https://console.developers.google.com/apis/api/vpcaccess.googleapis.com/overview?project={NUMBER}"
    assert caught.value.error == {
        "code": 403,
        "status": "PERMISSION_DENIED",
        "message": f"Serverless VPC Access API has not been used in project {NUMBER} before or it is disabled. Enable"
        f" it by visiting {url} then retry. If you enabled this API recently, wait a few minutes for the action to"
        " propagate to our systems and retry.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [{"description": "Google developers console API activation", "url": url}],
            },
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {"service": "vpcaccess.googleapis.com", "consumer": f"projects/{NUMBER}"},
            },
        ],
    }
    assert api.get(CONNECTORS.replace("demo", "other")) == {}
    assert api.get(f"v1/{done['name']}") == done
    api.post(f"{VPCACCESS}:enable", {})
    assert api.get(CONNECTORS) == {}


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("compute", "compute/v1/projects/demo/global/networks"),
        ("run", "v2/projects/demo/locations/us-central1/services"),
        ("run", "apis/serving.knative.dev/v1/namespaces/demo/services"),
        ("appengine", "v1/apps/demo"),
        ("dns", "dns/v1/projects/demo/managedZones"),
    ],
)
def test_every_api_can_be_disabled(api: Api, service: str, path: str) -> None:
    api.post(f"{SERVICES}/{service}.googleapis.com:disable", {})
    with pytest.raises(Refused, match="has not been used in project") as caught:
        api.get(path)
    assert caught.value.code == 403
    if service == "compute":
        first = caught.value.error["errors"][0]
        assert (first["domain"], first["reason"]) == ("usageLimits", "accessNotConfigured")
        assert caught.value.error["details"][1]["reason"] == "SERVICE_DISABLED"


def test_the_way_back_is_never_barred(api: Api) -> None:
    api.post(f"{SERVICES}/serviceusage.googleapis.com:disable", {})
    assert api.get(f"{SERVICES}/serviceusage.googleapis.com")["state"] == "DISABLED"
    api.post(f"{SERVICES}/serviceusage.googleapis.com:enable", {})


def test_nothing_new_is_done_at_once(api: Api) -> None:
    assert api.post(f"{VPCACCESS}:enable", {}) == {
        "name": "operations/noop.DONE_OPERATION",
        "done": True,
        "response": {"@type": f"{TYPE}.EnableServiceResponse", "service": api.get(VPCACCESS)},
    }


def test_several_at_once(api: Api) -> None:
    wanted = ["pubsub.googleapis.com", "artifactregistry.googleapis.com", "run.googleapis.com"]
    done = api.post(f"{SERVICES}:batchEnable", {"serviceIds": wanted})
    assert [one["config"]["name"] for one in done["response"]["services"]] == wanted
    names = [f"projects/demo/services/{one}" for one in wanted]
    found = api.get(f"{SERVICES}:batchGet", names=names)["services"]
    assert [one["state"] for one in found] == ["ENABLED"] * 3
    assert done["metadata"]["resourceNames"] == [one["name"] for one in found[:2]]


@pytest.mark.parametrize("count", [0, 21])
def test_a_batch_has_limits(api: Api, count: int) -> None:
    with pytest.raises(Refused) as caught:
        api.post(f"{SERVICES}:batchEnable", {"serviceIds": [f"s{index}.googleapis.com" for index in range(count)]})
    assert caught.value.status == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "call",
    [
        lambda api: api.post(f"{SERVICES}/nothing.googleapis.com:enable", {}),
        lambda api: api.get(f"{SERVICES}/nothing.googleapis.com"),
        lambda api: api.post(f"{SERVICES}:batchEnable", {"serviceIds": ["nothing.googleapis.com"]}),
    ],
)
def test_a_service_that_there_is_not(api: Api, call: Any) -> None:
    with pytest.raises(Refused, match=r"Not found or permission denied for service\(s\): nothing\.googleapis\.com\."):
        call(api)


def test_the_error_can_be_told_by_grpc() -> None:
    """Its details are messages that clients know."""
    from google.protobuf import json_format  # noqa: PLC0415
    from grpc_status import rpc_status  # noqa: PLC0415

    error = ServiceDisabled("run.googleapis.com", "demo")
    status = status_pb2.Status(code=errors.code(error), message=error.message)
    for detail in errors.details(error, "run"):
        json_format.ParseDict(detail, status.details.add())
    assert rpc_status.to_status(status).code == grpc.StatusCode.PERMISSION_DENIED
    told = error_details_pb2.ErrorInfo()
    assert status.details[1].Unpack(told)
    assert (told.reason, told.metadata["service"]) == ("SERVICE_DISABLED", "run.googleapis.com")
