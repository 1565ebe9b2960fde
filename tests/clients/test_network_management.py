"""google-cloud-network-management, unmodified: Connectivity Tests are kept, and claim no result."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import network_management_v1 as management
from google.protobuf.field_mask_pb2 import FieldMask

from tests.clients.conftest import PROJECT, Connect
from tests.waiting import PATIENCE

PARENT = f"projects/{PROJECT}/locations/global"
NAME = f"{PARENT}/connectivityTests/t1"


def test_the_life_of_a_test(connect: Connect) -> None:
    client = connect(management.ReachabilityServiceClient)
    source, destination = (
        management.Endpoint(ip_address="10.0.0.2"),
        management.Endpoint(ip_address="10.0.0.3", port=80),
    )
    given = management.ConnectivityTest(source=source, destination=destination)
    made = client.create_connectivity_test(parent=PARENT, test_id="t1", resource=given).result(timeout=PATIENCE)
    assert made == client.get_connectivity_test(name=NAME)
    assert made.reachability_details.result is management.ReachabilityDetails.Result.UNDETERMINED
    assert [one.name for one in client.list_connectivity_tests(parent=PARENT)] == [NAME]
    with pytest.raises(exceptions.Conflict):
        client.create_connectivity_test(parent=PARENT, test_id="t1", resource=given)
    changed = management.ConnectivityTest(name=NAME, destination=management.Endpoint(port=443))
    updated = client.update_connectivity_test(
        update_mask=FieldMask(paths=["destination.port"]), resource=changed
    ).result(timeout=PATIENCE)
    assert (updated.destination.ip_address, updated.destination.port) == ("10.0.0.3", 443)
    again = client.rerun_connectivity_test(request={"name": NAME}).result(timeout=PATIENCE)
    assert again.name == NAME
    client.delete_connectivity_test(name=NAME).result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.get_connectivity_test(name=NAME)
