"""The clients of Google's that speak gRPC unless told otherwise, each with its first steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import iam_admin_v1, redis_v1, resourcemanager_v3, run_v2, service_usage_v1
from google.cloud.devtools import cloudbuild_v1
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

from tests.clients.conftest import PROJECT, REGION, Connect, Served


def test_projects(connect_grpc: Connect) -> None:
    projects = connect_grpc(resourcemanager_v3.ProjectsClient)
    assert projects.get_project(name=f"projects/{PROJECT}").project_id == PROJECT
    made = projects.create_project(project={"project_id": "another-one", "display_name": "Another"}).result()
    assert made.display_name == "Another"
    assert {one.project_id for one in projects.search_projects()} == {PROJECT, "another-one"}
    policy = projects.get_iam_policy(resource="projects/another-one")
    assert not policy.bindings
    assert list(connect_grpc(resourcemanager_v3.OrganizationsClient).search_organizations()) == []


def test_the_policy_of_a_project(connect_grpc: Connect) -> None:
    client, name = connect_grpc(resourcemanager_v3.ProjectsClient), f"projects/{PROJECT}"
    policy = {"bindings": [{"role": "roles/vpcaccess.user", "members": ["user:a@example.com"]}]}
    made = client.set_iam_policy(request={"resource": name, "policy": policy})
    asked = {"resource": name, "options": {"requested_policy_version": 3}}
    assert client.get_iam_policy(request=asked) == made
    with pytest.raises(exceptions.Aborted):
        client.set_iam_policy(request={"resource": name, "policy": {"etag": b"\0\1\2"}})


def test_services_of_a_project(connect_grpc: Connect) -> None:
    client = connect_grpc(service_usage_v1.ServiceUsageClient)
    name = f"projects/{PROJECT}/services/vpcaccess.googleapis.com"
    assert client.get_service(request={"name": name}).state.name == "ENABLED"
    assert client.disable_service(request={"name": name}).result().service.state.name == "DISABLED"
    enabled = client.list_services(request={"parent": f"projects/{PROJECT}", "filter": "state:ENABLED"})
    assert "vpcaccess.googleapis.com" not in {one.config.name for one in enabled}
    both = client.batch_get_services(request={"parent": f"projects/{PROJECT}", "names": [name]})
    assert [one.state.name for one in both.services] == ["DISABLED"]


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


def test_who_would_build(connect_grpc: Connect) -> None:
    client = connect_grpc(cloudbuild_v1.CloudBuildClient)
    found = client.get_default_service_account(request={"name": f"{REGION}/defaultServiceAccount"})
    assert found.service_account_email.endswith("@cloudbuild.gserviceaccount.com")


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
