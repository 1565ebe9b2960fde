"""google-cloud-redis, unmodified (behaviour 4.9)."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import redis_v1
from google.protobuf.field_mask_pb2 import FieldMask

from tests.clients.conftest import PROJECT, REGION, Connect, Served
from tests.waiting import PATIENCE

NETWORK = f"projects/{PROJECT}/global/networks/vpc"
NAME = f"{REGION}/instances/r1"


@pytest.fixture(autouse=True)
def network(served: Served) -> None:
    served.network()


@pytest.fixture
def client(connect: Connect) -> redis_v1.CloudRedisClient:
    return connect(redis_v1.CloudRedisClient)


def create(client: redis_v1.CloudRedisClient, name: str = "r1", **fields: Any) -> redis_v1.Instance:
    given = redis_v1.Instance(tier=redis_v1.Instance.Tier.BASIC, memory_size_gb=1, authorized_network=NETWORK, **fields)
    return client.create_instance(parent=REGION, instance_id=name, instance=given).result(timeout=PATIENCE)


def test_the_life_of_an_instance(client: redis_v1.CloudRedisClient) -> None:
    made = create(client, reserved_ip_range="10.9.0.0/29", auth_enabled=True)
    assert made == client.get_instance(name=NAME)
    assert (made.host, made.port, made.state) == ("10.9.0.3", 6379, redis_v1.Instance.State.READY)
    assert client.get_instance_auth_string(name=NAME).auth_string
    given = redis_v1.Instance(name=NAME, display_name="cache", memory_size_gb=5)
    mask = FieldMask(paths=["display_name"])
    updated = client.update_instance(update_mask=mask, instance=given).result(timeout=PATIENCE)
    assert (updated.display_name, updated.memory_size_gb) == ("cache", 1)
    client.delete_instance(name=NAME).result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.get_instance(name=NAME)


def test_lists_come_in_pages(client: redis_v1.CloudRedisClient) -> None:
    for name in ("r1", "r2", "r3"):
        create(client, name)
    pages = client.list_instances(redis_v1.ListInstancesRequest(parent=REGION, page_size=2)).pages
    assert [len(page.instances) for page in pages] == [2, 1]


def test_refusals(client: redis_v1.CloudRedisClient) -> None:
    create(client, reserved_ip_range="10.9.0.0/29")
    with pytest.raises(exceptions.Conflict):
        create(client)
    with pytest.raises(exceptions.BadRequest):
        create(client, "r2", reserved_ip_range="10.9.0.0/29")
    with pytest.raises(exceptions.BadRequest, match="BASIC") as caught:
        client.failover_instance(name=NAME)
    assert type(caught.value) in {exceptions.BadRequest, exceptions.FailedPrecondition}  # the latter by gRPC
    with pytest.raises(exceptions.BadRequest):
        client.update_instance(update_mask=FieldMask(paths=["tier"]), instance=redis_v1.Instance(name=NAME))
