"""`testbed env --proxy`: programs that nobody has told of a testbed talk to it, each as the service account it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.auth import jwt
from google.cloud import compute_v1, vpcaccess_v1

from testbed.api import clients
from testbed.api.callers import keyfile
from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.api.calls.audit import AuditLog
from tests.clients.conftest import PROJECT, REGION, Connect, Served

TOUR = str(Path(__file__).with_name("tour.py"))


def test_a_tour_through_all_libraries(served: Served) -> None:
    served.become("robot-1")
    assert json.loads(served.run([sys.executable, TOUR], clients.proxy(served.endpoint))) == {
        "compute": "https://www.googleapis.com/compute/v1/projects/demo/global/networks/vpc",
        "vpcaccess by gRPC": "READY",
        "vpcaccess by REST": "READY",
        "run": "CONDITION_SUCCEEDED",
        "redis": "READY",
        "functions": "gcf-v2",
        "network management": "[]",
        "dns": "['z']",
        "api client": "2",
    }
    apis = ("compute", "vpcaccess", "run", "redis", "cloudfunctions", "dns")
    assert set(calls(served)) == {(api, "robot-1@demo.iam.gserviceaccount.com") for api in apis}


@pytest.mark.usefixtures("proxied")
def test_each_caller_is_the_account_of_its_key(served: Served) -> None:
    for account in ("robot-1", "robot-2"):
        served.become(account)
        with compute_v1.NetworksClient() as client:
            client.insert(project=PROJECT, network_resource=compute_v1.Network(name=account)).result()
    robots = [f"{account}@{PROJECT}.iam.gserviceaccount.com" for account in ("robot-1", "robot-2")]
    assert calls(served) == [("compute", robot) for robot in robots]


@pytest.mark.usefixtures("proxied")
def test_a_forged_key_is_not_believed(served: Served) -> None:
    file = served.become("robot-1")
    known, forged = json.loads(file.read_text()), keyfile.private_pem(keyfile.new_key())
    file.write_text(json.dumps({**known, "private_key": forged}))
    with vpcaccess_v1.VpcAccessServiceClient(transport="rest") as client, pytest.raises(exceptions.Unauthorized):
        client.get_connector(name=f"{REGION}/connectors/c1")
    with compute_v1.NetworksClient() as client, pytest.raises(exceptions.Unauthorized):
        client.get(project=PROJECT, network="vpc")


def test_a_forged_key_is_not_believed_by_grpc(served: Served, connect_grpc: Connect) -> None:
    client = connect_grpc(vpcaccess_v1.VpcAccessServiceClient)
    known = json.loads(served.become("robot-1").read_text())
    forged = {**known, "private_key": keyfile.private_pem(keyfile.new_key())}

    def listed(key: dict[str, str]) -> list[vpcaccess_v1.Connector]:
        caller = jwt.Credentials.from_service_account_info(key, audience="https://vpcaccess.googleapis.com/")
        caller.refresh(None)
        token = caller.token.decode()
        return list(client.list_connectors(parent=REGION, metadata=[("authorization", f"Bearer {token}")]))

    assert listed(known) == []
    with pytest.raises(exceptions.Unauthenticated):
        listed(forged)


@pytest.mark.usefixtures("proxied")
def test_a_deleted_key_holds_no_longer(served: Served) -> None:
    served.become("robot-1")
    with compute_v1.NetworksClient() as client:
        assert list(client.list(project=PROJECT)) == []
        with SqliteKeys.open(served.control.store.folder / KEYS) as known:
            known.delete(known.all()[0].id)
        with pytest.raises(exceptions.Unauthorized):
            client.list(project=PROJECT)


def calls(served: Served) -> list[tuple[str, str]]:
    """The API and the caller of each call that changed something, by the audit log."""
    payloads = [entry["protoPayload"] for entry in AuditLog(served.control.store.folder).entries()]
    return [(one["serviceName"].split(".")[0], one["authenticationInfo"]["principalEmail"]) for one in payloads]
