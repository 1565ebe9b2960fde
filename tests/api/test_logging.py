"""logging: the audit log, read as Cloud Logging's is (behaviour 5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.api.calls import audit
from testbed.control.watch.firewall_log import file_in
from testbed.json_object import Json
from tests.api.harness import Api, Refused

NETWORKS = "compute/v1/projects/demo/global/networks"
CONNECTORS = "v1/projects/demo/locations/us-central1/connectors"


def read(api: Api, text: str = "", **fields: Any) -> list[Json]:
    body = {"resourceNames": ["projects/demo"], "filter": text, **fields}
    found: list[Json] = api.post("v2/entries:list", body).get("entries", [])
    return found


def methods(entries: list[Json]) -> list[str]:
    return [entry["protoPayload"]["methodName"] for entry in entries]


@pytest.fixture(autouse=True)
def calls(api: Api) -> None:
    api.post(NETWORKS, {"name": "vpc", "autoCreateSubnetworks": False})
    body = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    api.post(CONNECTORS, body, connectorId="c1")
    api.patch(f"{CONNECTORS}/c1", {"minInstances": 2, "maxInstances": 4})
    with pytest.raises(Refused):
        api.post(CONNECTORS, body, connectorId="c1")
    api.delete(f"{CONNECTORS}/c1")


@pytest.mark.behaviour("5.2.1", "5.2.2")
def test_the_documented_method_names(api: Api) -> None:
    service = "google.cloud.vpcaccess.v1.VpcAccessService"
    assert methods(read(api, 'protoPayload.serviceName="vpcaccess.googleapis.com"')) == [
        f"{service}.CreateConnector",
        f"{service}.UpdateConnector",
        f"{service}.CreateConnector",
        f"{service}.DeleteConnector",
    ]


@pytest.mark.behaviour("5.2.5")
def test_names_of_other_methods(api: Api) -> None:
    account = api.post("v1/projects/demo/serviceAccounts", {"accountId": "caller"})["name"]
    api.post(f"v1/{account}:setIamPolicy", {"policy": {}})
    assert methods(read(api, 'protoPayload.serviceName="iam.googleapis.com"')) == [
        "google.iam.admin.v1.CreateServiceAccount",
        "google.iam.admin.v1.SetIAMPolicy",
    ]
    api.post("v1/apps", {"id": "demo", "locationId": "us-central"})
    api.post("v1/apps/demo:repair", {})
    assert methods(read(api, 'protoPayload.serviceName="appengine.googleapis.com"')) == [
        "google.appengine.v1.Applications.RepairApplication"
    ]


def test_filters(api: Api) -> None:
    assert methods(read(api, 'protoPayload.methodName:"Delete"')) == [
        "google.cloud.vpcaccess.v1.VpcAccessService.DeleteConnector"
    ]
    assert len(read(api, 'severity=ERROR protoPayload.status.code=6 AND resource.type="audited_resource"')) == 1
    since = 'timestamp>="2020-01-01T00:00:00Z"'
    assert len(read(api, f'{since}\nlogName:"activity" NOT protoPayload.methodName:"vpc"')) == 1
    assert read(api, 'timestamp>="2100-01-01T00:00:00Z"') == []
    with pytest.raises(Refused, match="Unparseable filter"):
        read(api, "(")


def test_order_and_pages(api: Api) -> None:
    newest = read(api, orderBy="timestamp desc")
    assert newest == list(reversed(read(api)))
    first = api.post("v2/entries:list", {"resourceNames": ["projects/demo"], "pageSize": 2})
    rest = read(api, pageToken=first["nextPageToken"])
    assert first["entries"] + rest == read(api)
    with pytest.raises(Refused, match="order_by"):
        read(api, orderBy="severity")


@pytest.mark.behaviour("5.2.3")
def test_reading_is_not_logged(api: Api) -> None:
    before = read(api)
    api.get(CONNECTORS)
    api.post("v1/projects/demo:testIamPermissions", {"permissions": ["a.b.c"]})
    assert read(api) == before


def test_a_project_has_its_own(api: Api) -> None:
    assert read(api, resourceNames=["projects/other"]) == []
    assert api.get("v2/projects/other/logs") == {}
    assert api.get("v2/projects/demo/logs") == {"logNames": ["projects/demo/logs/cloudaudit.googleapis.com%2Factivity"]}


@pytest.mark.behaviour("4.1.15")
def test_the_log_of_the_firewall(api: Api) -> None:
    def record(disposition: str, port: int) -> Json:
        return {
            "insertId": f"i{port}",
            "timestamp": "2126-01-01T00:00:00Z",
            "logName": "projects/demo/logs/compute.googleapis.com%2Ffirewall",
            "resource": {"type": "gce_subnetwork", "labels": {"project_id": "demo"}},
            "jsonPayload": {"disposition": disposition, "connection": {"dest_port": port, "protocol": 6}},
        }

    file_in(api.plane.store.folder).append([record("ALLOWED", 22), record("DENIED", 80)], 1 << 20)
    log = 'logName="projects/demo/logs/compute.googleapis.com%2Ffirewall"'
    assert [entry["insertId"] for entry in read(api, log)] == ["i22", "i80"]
    assert [entry["insertId"] for entry in read(api, f'{log} jsonPayload.disposition="DENIED"')] == ["i80"]
    assert [entry["insertId"] for entry in read(api, "jsonPayload.connection.dest_port=22")] == ["i22"]
    assert "compute.googleapis.com%2Ffirewall" in str(api.get("v2/projects/demo/logs"))
    assert read(api, log, resourceNames=["projects/other"]) == []


def test_nothing_can_be_written(api: Api) -> None:
    with pytest.raises(Refused, match=r"logging\.entries\.write") as caught:
        api.post("v2/entries:write", {"entries": []})
    assert caught.value.code == 501


def test_the_log_does_not_grow_without_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 1000)
    for index in range(10):
        api.post(NETWORKS, {"name": f"n{index}", "autoCreateSubnetworks": False})
    files = [api.plane.store.folder / name for name in (audit.OLDER, audit.FILE)]
    assert sum(path.stat().st_size for path in files if path.exists()) < 4000
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files if path.exists())
    assert len(list(api.audit.entries())) >= 1


def test_half_an_entry_hides_no_other(api: Api) -> None:
    before = len(list(api.audit.entries()))
    with (api.plane.store.folder / audit.FILE).open("a") as file:
        file.write('{"protoPayload": {\n')
    api.post(NETWORKS, {"name": "b", "autoCreateSubnetworks": False})
    assert len(list(api.audit.entries())) == before + 1
