"""The clients of Google's that speak gRPC unless told otherwise, each with its first steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import appengine_admin_v1, iam_admin_v1, redis_v1, resourcemanager_v3, run_v2, service_usage_v1
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

from testbed.api import services
from testbed.api.calls.call import HANDLERS
from testbed.api.contract.discovery import document
from testbed.api.contract.messages import SERVICES, rpc_name
from tests.clients.conftest import PROJECT, REGION, Connect, Served

NOT_PUBLISHED = {
    "appengine.apps.listRuntimes": "the client has no such procedure",
    "appengine.apps.locations.get": "google.cloud.location.Locations/GetLocation has it",
    "appengine.apps.locations.list": "google.cloud.location.Locations/ListLocations has it",
    "appengine.apps.operations.get": "google.longrunning.Operations/GetOperation has it",
    "appengine.apps.operations.list": "google.longrunning.Operations/ListOperations has it",
    "logging.projects.logs.list": "ListLogs has it, as logging.logs.list",
    "serviceusage.operations.delete": "google.longrunning.Operations/DeleteOperation has it",
}
"""Methods that are no procedure of their own, and why."""


@pytest.mark.parametrize("api", SERVICES)
def test_what_rest_serves_grpc_serves(api: str) -> None:
    services.register_all()
    served = [method for method in document(api).methods if (api, method.id.partition(".")[2]) in HANDLERS]
    missing = [method.id for method in served if rpc_name(method) is None]
    assert missing == [name for name in NOT_PUBLISHED if name in {method.id for method in served}]


def test_app_engine(served: Served, connect_grpc: Connect) -> None:
    compute = f"compute/v1/projects/{PROJECT}"
    served.post(f"{compute}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    subnet = {"name": "s", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"}
    served.post(f"{compute}/regions/us-central1/subnetworks", subnet)
    applications = connect_grpc(appengine_admin_v1.ApplicationsClient)
    made = applications.create_application(
        request={"application": {"id": PROJECT, "location_id": "us-central"}}
    ).result()
    assert made.name == f"apps/{PROJECT}"
    assert applications.get_application(request={"name": f"apps/{PROJECT}"}).serving_status.name == "SERVING"
    versions = connect_grpc(appengine_admin_v1.VersionsClient)
    version = {
        "id": "v1",
        "runtime": "custom",
        "env": "flex",
        "network": {"name": "vpc", "subnetwork_name": "s"},
        "deployment": {"container": {"image": "testbed/vm"}},
    }
    parent = f"apps/{PROJECT}/services/default"
    assert versions.create_version(request={"parent": parent, "version": version}).result().id == "v1"
    assert [
        one.id
        for one in connect_grpc(appengine_admin_v1.ServicesClient).list_services(request={"parent": f"apps/{PROJECT}"})
    ]
    assert [one.id for one in versions.list_versions(request={"parent": parent})] == ["v1"]


def test_projects(connect_grpc: Connect) -> None:
    projects = connect_grpc(resourcemanager_v3.ProjectsClient)
    assert projects.get_project(name=f"projects/{PROJECT}").project_id == PROJECT
    made = projects.create_project(project={"project_id": "another-one", "display_name": "Another"}).result()
    assert made.display_name == "Another"
    assert {one.project_id for one in projects.search_projects()} == {PROJECT, "another-one"}
    policy = projects.get_iam_policy(resource="projects/another-one")
    assert not policy.bindings
    assert list(connect_grpc(resourcemanager_v3.OrganizationsClient).search_organizations()) == []


def test_services_of_a_project(connect_grpc: Connect) -> None:
    client = connect_grpc(service_usage_v1.ServiceUsageClient)
    name = f"projects/{PROJECT}/services/vpcaccess.googleapis.com"
    assert client.get_service(request={"name": name}).state.name == "ENABLED"
    assert client.disable_service(request={"name": name}).result().service.state.name == "DISABLED"
    enabled = client.list_services(request={"parent": f"projects/{PROJECT}", "filter": "state:ENABLED"})
    assert "vpcaccess.googleapis.com" not in {one.config.name for one in enabled}


def test_service_accounts(connect_grpc: Connect) -> None:
    client = connect_grpc(iam_admin_v1.IAMClient)
    made = client.create_service_account(name=f"projects/{PROJECT}", account_id="worker")
    assert made.email == f"worker@{PROJECT}.iam.gserviceaccount.com"
    assert b"PRIVATE KEY" in client.create_service_account_key(name=made.name).private_key_data
    patched = {"service_account": {"name": made.name, "display_name": "W"}, "update_mask": {"paths": ["display_name"]}}
    assert client.patch_service_account(request=patched).display_name == "W"
    client.disable_service_account(request={"name": made.name})
    assert client.get_service_account(name=made.name).disabled
    policy = {"bindings": [{"role": "roles/iam.serviceAccountUser", "members": ["user:a@example.com"]}]}
    assert client.set_iam_policy(request={"resource": made.name, "policy": policy}).bindings[0].members
    client.delete_service_account(name=made.name)
    with pytest.raises(exceptions.NotFound):
        client.get_service_account(name=made.name)


def test_logs(served: Served, connect_grpc: Connect) -> None:
    served.post(f"compute/v1/projects/{PROJECT}/global/networks", {"name": "noted", "autoCreateSubnetworks": False})
    client = connect_grpc(LoggingServiceV2Client)
    found = list(client.list_log_entries(request={"resource_names": [f"projects/{PROJECT}"]}))
    assert {entry.proto_payload.type_url for entry in found} == {"type.googleapis.com/google.cloud.audit.AuditLog"}
    assert any("activity" in name for name in client.list_logs(parent=f"projects/{PROJECT}"))


Ask = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("client", "ask"),
    [
        (run_v2.ServicesClient, lambda c: c.get_iam_policy(request={"resource": f"{REGION}/services/hello"})),
        (redis_v1.CloudRedisClient, lambda c: c.get_location(request={"name": REGION})),
        (redis_v1.CloudRedisClient, lambda c: c.list_operations(request={"name": REGION})),
    ],
)
def test_what_all_apis_share(served: Served, connect_grpc: Connect, client: Any, ask: Ask) -> None:
    body = {"template": {"containers": [{"image": "testbed/runtime"}]}}
    served.post(f"v2/{REGION}/services", body, serviceId="hello")
    assert ask(connect_grpc(client)) is not None
