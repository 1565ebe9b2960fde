"""The libraries' asyncio clients, which share nothing with the others but the messages."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import functions_v2, network_management_v1, redis_v1, run_v2, vpcaccess_v1

from tests.clients.conftest import PROJECT, REGION, Served
from tests.waiting import PATIENCE

GLOBAL = f"projects/{PROJECT}/locations/global"


def asynchronous(made: Any, served: Served) -> Any:
    """A client of a class, on a channel without TLS."""
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{served.endpoint.port}")
    return made(transport=made.get_transport_class("grpc_asyncio")(channel=channel))


@pytest.mark.parametrize(
    ("made", "parent", "collection", "method"),
    [
        (vpcaccess_v1.VpcAccessServiceAsyncClient, REGION, "connectors", "connector"),
        (run_v2.ServicesAsyncClient, REGION, "services", "service"),
        (redis_v1.CloudRedisAsyncClient, REGION, "instances", "instance"),
        (functions_v2.FunctionServiceAsyncClient, REGION, "functions", "function"),
        (network_management_v1.ReachabilityServiceAsyncClient, GLOBAL, "connectivityTests", "connectivity_test"),
    ],
    ids=["vpcaccess", "run", "redis", "functions", "network management"],
)
def test_lists_and_errors(made: Any, parent: str, collection: str, method: str, served: Served) -> None:
    async def calls() -> None:
        async with asynchronous(made, served) as client:
            assert [one async for one in await getattr(client, f"list_{method}s")(parent=parent)] == []
            with pytest.raises(exceptions.NotFound):
                await getattr(client, f"get_{method}")(name=f"{parent}/{collection}/none")

    asyncio.run(calls())


def test_the_life_of_a_connector(served: Served) -> None:
    async def life() -> None:
        async with asynchronous(vpcaccess_v1.VpcAccessServiceAsyncClient, served) as client:
            given = vpcaccess_v1.Connector(network="vpc", ip_cidr_range="10.8.0.0/28", min_instances=2, max_instances=3)
            creating = await client.create_connector(parent=REGION, connector_id="c1", connector=given)
            made = await creating.result(timeout=PATIENCE)
            assert made.state is vpcaccess_v1.Connector.State.READY
            await (await client.delete_connector(name=made.name)).result(timeout=PATIENCE)

    served.network()
    asyncio.run(life())
