"""`testbed env`: each endpoint that gcloud and Terraform are given leads to the API that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
import requests
from google.cloud.vpcaccess_v1 import VpcAccessServiceClient

from testbed.api import clients
from tests.clients.conftest import REGION, Served, serving
from tests.waiting import PATIENCE

GCLOUD = {
    "APPENGINE": "v1/apps/demo", "CLOUDFUNCTIONS": f"v2/{REGION}/functions", "CLOUDRESOURCEMANAGER": "v1/projects/demo",
    "COMPUTE": "projects/demo/global/networks", "DNS": "projects/demo/managedZones",
    "IAM": "v1/projects/demo/serviceAccounts", "LOGGING": "v2/projects/demo/logs",
    "NETWORKMANAGEMENT": "v1/projects/demo/locations/global/operations", "REDIS": f"v1/{REGION}/operations",
    "SERVICEUSAGE": "v1/projects/demo/services/run.googleapis.com", "STORAGE": "b?project=demo",
    "VPCACCESS": f"v1/{REGION}/operations",
}  # fmt: skip
"""By property: something that the API has, as gcloud writes it behind the endpoint."""
TERRAFORM = {
    "APP_ENGINE": "apps/demo",
    "CLOUDFUNCTIONS2": f"{REGION}/functions",
    "CLOUD_FUNCTIONS": f"{REGION}/functions",
    "CLOUD_RUN": "apis/serving.knative.dev/v1/namespaces/demo/services",
    "CLOUD_RUN_V2": f"{REGION}/services",
    "COMPUTE": "projects/demo/global/networks",
    "DNS": "projects/demo/managedZones",
    "IAM": "projects/demo/serviceAccounts",
    "LOGGING": "projects/demo/logs",
    "NETWORK_MANAGEMENT": "projects/demo/locations/global/connectivityTests",
    "REDIS": f"{REGION}/instances",
    "RESOURCE_MANAGER": "projects/demo",
    "RESOURCE_MANAGER_V3": "projects/demo",
    "SERVICE_NETWORKING": "services/servicenetworking.googleapis.com/connections?network=projects/1/global/networks/x",
    "SERVICE_USAGE": "projects/demo/services/run.googleapis.com",
    "STORAGE": "b?project=demo",
    "VPC_ACCESS": f"{REGION}/connectors",
}
"""The same for the Google provider."""


def answer(served: Served, url: str) -> str:
    """What is found there, or the API's own word that there is nothing."""
    found = requests.get(url, verify=str(served.endpoint.folder / clients.BUNDLE), timeout=PATIENCE)
    assert found.status_code in {200, 404}, f"{url}: {found.text}"
    assert ": not found" not in found.text, url
    return found.text


def told(served: Served, prefix: str, suffix: str = "") -> dict[str, str]:
    """The endpoints of one client, by what the client calls them."""
    variables = clients.overrides(served.endpoint).items()
    found = {name: value for name, value in variables if name.startswith(prefix) and name.endswith(suffix)}
    return {name.removeprefix(prefix).removesuffix(suffix): value for name, value in found.items()}


def test_the_state_may_be_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket has 107 bytes at most, and that of a folder has not."""
    folder = tmp_path / ("a long way, 100 % safe? #" * 6)
    with serving(folder, monkeypatch) as served, grpc.insecure_channel(f"127.0.0.1:{served.endpoint.port}") as channel:
        answer(served, f"{served.endpoint.url}/v1/{REGION}/connectors")
        transport = VpcAccessServiceClient.get_transport_class("grpc")(channel=channel)
        assert not list(VpcAccessServiceClient(transport=transport).list_connectors(parent=REGION))


def test_gcloud(served: Served) -> None:
    endpoints = told(served, "CLOUDSDK_API_ENDPOINT_OVERRIDES_")
    assert endpoints.pop("RUN") == "http://run.googleapis.com/"  # which gcloud's own proxy property leads here
    assert set(endpoints) == set(GCLOUD)
    for name, path in GCLOUD.items():
        answer(served, endpoints[name] + path)


def test_terraform(served: Served) -> None:
    endpoints = told(served, "GOOGLE_", "_CUSTOM_ENDPOINT")
    assert set(endpoints) == set(TERRAFORM)
    for name, path in TERRAFORM.items():
        # The provider demands the form, and cuts the version off for its hand-written resources only of https.
        assert re.fullmatch(r"https://.*/[^/]+/", endpoints[name])
        answer(served, endpoints[name] + path)


def test_apis_of_the_same_paths_are_told_apart(served: Served) -> None:
    served.network()
    served.connector("c1", "10.8.0.0/28")
    endpoints = told(served, "CLOUDSDK_API_ENDPOINT_OVERRIDES_")
    asked = {name: answer(served, f"{endpoints[name]}v1/{REGION}/operations") for name in ("VPCACCESS", "REDIS")}
    assert "connectors/c1" in asked["VPCACCESS"]
    assert "connectors/c1" not in asked["REDIS"]
