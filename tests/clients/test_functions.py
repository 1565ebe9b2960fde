"""google-cloud-functions (v2), unmodified; the source is uploaded as Google's documentation says."""

from __future__ import annotations

import io
import zipfile

import pytest
import requests
from google.api_core import exceptions
from google.cloud import functions_v2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.clients.conftest import REGION, Connect, Served
from tests.waiting import PATIENCE

NAME = f"{REGION}/functions/hello"
C1 = f"{REGION}/connectors/c1"


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as files:
        files.writestr("main.py", "def hello(request):\n    return 'hi'\n")
        files.writestr("requirements.txt", "flask\n")
    return made.getvalue()


def function(client: functions_v2.FunctionServiceClient) -> functions_v2.Function:
    given = client.generate_upload_url(functions_v2.GenerateUploadUrlRequest(parent=REGION))
    headers = {"content-type": "application/zip"}
    requests.put(given.upload_url, data=archive(), headers=headers, timeout=PATIENCE).raise_for_status()
    build = functions_v2.BuildConfig(
        runtime="python311", entry_point="hello", source=functions_v2.Source(storage_source=given.storage_source)
    )
    return functions_v2.Function(
        build_config=build, service_config=functions_v2.ServiceConfig(vpc_connector=C1, max_instance_count=3)
    )


@pytest.fixture(autouse=True)
def connector(served: Served) -> None:
    served.network()
    served.connector("c1", "10.8.0.0/28")


def test_the_life_of_a_function(connect: Connect) -> None:
    client = connect(functions_v2.FunctionServiceClient)
    made = client.create_function(parent=REGION, function=function(client), function_id="hello").result(
        timeout=PATIENCE
    )
    assert made == client.get_function(name=NAME)
    assert (made.state, made.service_config.vpc_connector) == (functions_v2.Function.State.ACTIVE, C1)
    assert [one.name for one in client.list_functions(parent=REGION)] == [NAME]
    with pytest.raises(exceptions.Conflict):
        client.create_function(parent=REGION, function=function(client), function_id="hello")
    given = functions_v2.Function(
        name=NAME, service_config=functions_v2.ServiceConfig(vpc_connector_egress_settings="ALL_TRAFFIC")
    )
    mask = FieldMask(paths=["service_config.vpc_connector_egress_settings"])
    updated = client.update_function(function=given, update_mask=mask).result(timeout=PATIENCE)
    settings = functions_v2.ServiceConfig.VpcConnectorEgressSettings
    assert updated.service_config.vpc_connector_egress_settings is settings.ALL_TRAFFIC
    assert updated.service_config.max_instance_count == 3
    client.delete_function(name=NAME).result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.get_function(name=NAME)
