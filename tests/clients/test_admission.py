"""APIs that are disabled refuse their clients, as at Google (behaviour 1.1.8)."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1, redis_v1, run_v2, vpcaccess_v1

from tests.clients.conftest import PROJECT, REGION, Connect, Served


def disable(served: Served, api: str) -> None:
    served.post(f"v1/projects/{PROJECT}/services/{api}.googleapis.com:disable", {})


@pytest.mark.parametrize(
    ("api", "made", "call"),
    [
        ("vpcaccess", vpcaccess_v1.VpcAccessServiceClient, lambda client: client.list_connectors(parent=REGION)),
        ("run", run_v2.ServicesClient, lambda client: client.list_services(parent=REGION)),
        ("redis", redis_v1.CloudRedisClient, lambda client: client.list_instances(parent=REGION)),
    ],
)
def test_a_disabled_api(api: str, made: Any, call: Any, connect: Connect, served: Served) -> None:
    client = connect(made)
    assert list(call(client)) == []
    disable(served, api)
    with pytest.raises(exceptions.Forbidden, match="has not been used in project") as caught:
        call(client)
    assert (caught.value.reason, caught.value.domain) == ("SERVICE_DISABLED", "googleapis.com")
    assert caught.value.metadata["service"] == f"{api}.googleapis.com"


def test_compute(connect_rest: Connect, served: Served) -> None:
    client = connect_rest(compute_v1.NetworksClient)
    disable(served, "compute")
    with pytest.raises(exceptions.Forbidden, match="Compute Engine API has not been used in project"):
        client.list(project=PROJECT)
