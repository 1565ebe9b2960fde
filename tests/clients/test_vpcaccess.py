"""google-cloud-vpc-access, unmodified: what it is answered, and which errors it raises (behaviour 1)."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.location import locations_pb2
from google.cloud.vpcaccess_v1 import (
    Connector,
    OperationMetadata,
    VpcAccessServiceClient,
)
from google.longrunning import operations_pb2

from tests.clients.conftest import REGION, Connect, Served
from tests.waiting import PATIENCE, eventually

C1 = f"{REGION}/connectors/c1"


def connector(cidr: str = "10.8.0.0/28", **more: object) -> Connector:
    return Connector(network="vpc", ip_cidr_range=cidr, min_instances=2, max_instances=3, **more)


@pytest.fixture(autouse=True)
def network(served: Served) -> None:
    served.network()


@pytest.fixture
def client(connect: Connect) -> VpcAccessServiceClient:
    return connect(VpcAccessServiceClient)


@pytest.mark.behaviour("1.1.2", "1.3.1")
def test_the_life_of_a_connector(client: VpcAccessServiceClient) -> None:
    creating = client.create_connector(parent=REGION, connector_id="c1", connector=connector())
    made = creating.result(timeout=PATIENCE)
    assert isinstance(creating.metadata, OperationMetadata)
    assert creating.metadata.target == C1
    assert creating.metadata.end_time is not None
    assert made == client.get_connector(name=C1)
    assert made.state is Connector.State.READY
    assert (made.min_throughput, made.max_throughput, made.machine_type) == (200, 300, "e2-micro")  # behaviour 1.3.1
    client.delete_connector(name=C1).result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.get_connector(name=C1)


def test_lists_come_in_pages(client: VpcAccessServiceClient, served: Served) -> None:
    for number in range(3):
        served.connector(f"c{number}", f"10.8.{number}.0/28")
    pages = list(client.list_connectors(request={"parent": REGION, "page_size": 2}).pages)
    assert [[one.name.rpartition("/")[2] for one in page.connectors] for page in pages] == [["c0", "c1"], ["c2"]]
    assert len(list(client.list_connectors(parent=REGION))) == 3


def test_locations_and_operations(client: VpcAccessServiceClient) -> None:
    asked = locations_pb2.ListLocationsRequest(name="projects/demo", page_size=5)
    assert len(client.list_locations(asked).locations) == 5
    created = client.create_connector(parent=REGION, connector_id="c1", connector=connector())
    created.result(timeout=PATIENCE)
    named = operations_pb2.GetOperationRequest(name=created.operation.name)
    again = client.get_operation(named)
    assert again == created.operation
    listed = client.list_operations(operations_pb2.ListOperationsRequest(name=REGION))
    assert [one.name for one in listed.operations] == [created.operation.name]


@pytest.mark.behaviour("1.5.5")
def test_a_name_is_taken_once(client: VpcAccessServiceClient, served: Served) -> None:
    served.connector("c1", "10.8.0.0/28")
    with pytest.raises(exceptions.Conflict, match=f"Resource '{C1}' already exists"):
        client.create_connector(parent=REGION, connector_id="c1", connector=connector("10.8.1.0/28"))


@pytest.mark.behaviour("1.5.1")
def test_names_have_a_pattern(client: VpcAccessServiceClient) -> None:
    with pytest.raises(exceptions.BadRequest, match="Connector ID must follow the pattern"):
        client.create_connector(parent=REGION, connector_id="C_1", connector=connector())


@pytest.mark.behaviour("1.1.7")
def test_the_connector_must_not_say_its_name(client: VpcAccessServiceClient) -> None:
    with pytest.raises(exceptions.BadRequest, match=r"Connector name must not be set\."):
        client.create_connector(parent=REGION, connector_id="c1", connector=connector(name=C1))


@pytest.mark.behaviour("1.6.9")
def test_a_range_in_use_fails_the_operation(client: VpcAccessServiceClient, served: Served) -> None:
    served.connector("c1", "10.8.0.0/28")
    creating = client.create_connector(parent=REGION, connector_id="c2", connector=connector())
    with pytest.raises(exceptions.InvalidArgument, match=r"Operation failed: Invalid IP CIDR range was provided\."):
        creating.result(timeout=PATIENCE)
    assert client.get_connector(name=f"{REGION}/connectors/c2").state is Connector.State.ERROR


def test_errors_of_grpc_have_their_own_classes_and_details(connect_grpc: Connect, served: Served) -> None:
    client = connect_grpc(VpcAccessServiceClient)
    served.connector("c1", "10.8.0.0/28")
    with pytest.raises(exceptions.AlreadyExists) as taken:
        client.create_connector(parent=REGION, connector_id="c1", connector=connector())
    assert (taken.value.grpc_status_code, taken.value.details) == (grpc.StatusCode.ALREADY_EXISTS, [])
    with pytest.raises(exceptions.InvalidArgument):
        client.create_connector(parent=REGION, connector_id="C_1", connector=connector())


def test_a_caller_may_be_out_of_patience(connect_grpc: Connect, served: Served) -> None:
    client = connect_grpc(VpcAccessServiceClient)
    served.delay("vpcaccess.projects.locations.connectors.create", 10 * PATIENCE)
    assert not list(client.list_connectors(parent=REGION))  # it is connected
    with pytest.raises(exceptions.DeadlineExceeded):
        client.create_connector(parent=REGION, connector_id="c1", connector=connector(), retry=None, timeout=0.5)
    (made,) = eventually(lambda: list(client.list_connectors(parent=REGION)), "what was accepted all the same")
    assert (made.name, made.state) == (C1, Connector.State.CREATING)


@pytest.mark.behaviour("1.1.3")
def test_a_procedure_that_there_is_not(served: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served.endpoint.port}") as channel:
        call: Callable[..., bytes] = channel.unary_unary("/google.cloud.vpcaccess.v1.VpcAccessService/Nothing")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
