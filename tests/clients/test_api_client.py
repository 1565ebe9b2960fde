"""google-api-python-client, unmodified: the library that is made of the discovery documents themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from tests.clients.conftest import PROJECT, REGION, Served

Build = Callable[[str, str], Any]
BODY = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}


@pytest.fixture
def api(served: Served) -> Build:
    def overridden(name: str, version: str) -> Any:
        path = "/compute/v1/" if name == "compute" else ""
        options = {"api_endpoint": served.endpoint.url + path}
        return build(name, version, credentials=AnonymousCredentials(), client_options=options)

    return overridden


@pytest.mark.behaviour("1.8.2")
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_connector_can_be_patched(api: Build, version: str, served: Served) -> None:
    served.network()
    with closing(api("vpcaccess", version)) as service:
        connectors = service.projects().locations().connectors()
        made = connectors.create(parent=REGION, connectorId="c1", body=BODY).execute()
        assert made["response"]["state"] == "READY"
        patched = connectors.patch(name=f"{REGION}/connectors/c1", body={"minInstances": 2, "maxInstances": 5})
        assert patched.execute()["response"]["maxInstances"] == 5
        with pytest.raises(HttpError, match="Decreasing the number of instances") as refused:  # behaviour 1.8.2
            connectors.patch(name=f"{REGION}/connectors/c1", body={"minInstances": 2, "maxInstances": 3}).execute()
        assert refused.value.status_code == 400
        assert [one["name"] for one in connectors.list(parent=REGION).execute()["connectors"]] == [
            f"{REGION}/connectors/c1"
        ]


def test_compute(api: Build) -> None:
    with closing(api("compute", "v1")) as service:
        service.networks().insert(project=PROJECT, body={"name": "vpc", "autoCreateSubnetworks": False}).execute()
        listing = service.networks().list(project=PROJECT, maxResults=1)
        page = listing.execute()
        assert [one["name"] for one in page["items"]] == ["vpc"]
        assert service.networks().list_next(listing, page) is None
        with pytest.raises(HttpError) as refused:
            service.networks().get(project=PROJECT, network="none").execute()
        assert refused.value.error_details[0]["reason"] == "notFound"


def test_a_query_may_be_longer_than_a_url(api: Build) -> None:
    with closing(api("compute", "v1")) as service:
        for name in ("vpc", "other"):
            service.networks().insert(project=PROJECT, body={"name": name, "autoCreateSubnetworks": False}).execute()
        names = " OR ".join(f"(name = vpc{number})" for number in range(200))
        found = service.networks().list(project=PROJECT, filter=f"(name = vpc) OR {names}").execute()
        assert [one["name"] for one in found["items"]] == ["vpc"]
