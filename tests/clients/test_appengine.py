"""google-cloud-appengine-admin, unmodified."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import appengine_admin_v1 as admin
from google.protobuf.field_mask_pb2 import FieldMask

from tests.clients.conftest import PROJECT, REGION, Connect, Served
from tests.waiting import PATIENCE

APP = f"apps/{PROJECT}"
SERVICE = f"{APP}/services/default"
SOURCE = b"def app(environ, start): ...\n"
C1 = f"{REGION}/connectors/c1"


@pytest.fixture
def application(connect: Connect, served: Served) -> Any:
    """What deploys to the application, which is there."""
    served.network()
    served.connector("c1", "10.8.0.0/28")
    made = admin.Application(id=PROJECT, location_id="us-central")
    client = connect(admin.ApplicationsClient)
    done = client.create_application(admin.CreateApplicationRequest(application=made)).result(timeout=PATIENCE)
    assert done == client.get_application(name=APP)
    return connect(admin.VersionsClient)


def version(served: Served, name: str) -> admin.Version:
    digest = hashlib.sha1(SOURCE, usedforsecurity=False).hexdigest()
    bucket = f"staging.{PROJECT}.appspot.com"
    url = f"{served.endpoint.url}/upload/storage/v1/b/{bucket}/o"
    query = {"uploadType": "media", "name": digest}
    requests.post(url, params=query, data=SOURCE, timeout=PATIENCE).raise_for_status()
    file = admin.FileInfo(source_url=f"https://storage.googleapis.com/{bucket}/{digest}", sha1_sum=digest)
    return admin.Version(
        id=name,
        runtime="python311",
        deployment=admin.Deployment(files={"main.py": file}),
        vpc_access_connector=admin.VpcAccessConnector(name=C1),
    )


def test_the_life_of_a_version(application: admin.VersionsClient, connect: Connect, served: Served) -> None:
    for name in ("v1", "v2"):
        given = admin.CreateVersionRequest(parent=SERVICE, version=version(served, name))
        made = application.create_version(given).result(timeout=PATIENCE)
        assert (made.id, made.vpc_access_connector.name) == (name, C1)
    listed = application.list_versions(admin.ListVersionsRequest(parent=SERVICE))
    assert sorted(one.id for one in listed) == ["v1", "v2"]
    services = connect(admin.ServicesClient)
    moved = admin.UpdateServiceRequest(
        name=SERVICE,
        service=admin.Service(split=admin.TrafficSplit(allocations={"v2": 1.0})),
        update_mask=FieldMask(paths=["split"]),
    )
    assert services.update_service(moved).result(timeout=PATIENCE).split.allocations == {"v2": 1.0}
    assert [one.name for one in services.list_services(admin.ListServicesRequest(parent=APP))] == [SERVICE]
    found = connect(admin.InstancesClient).list_instances(admin.ListInstancesRequest(parent=f"{SERVICE}/versions/v2"))
    assert [one.name.rpartition("/")[0] for one in found] == [f"{SERVICE}/versions/v2/instances"]
    application.delete_version(admin.DeleteVersionRequest(name=f"{SERVICE}/versions/v1")).result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        application.get_version(admin.GetVersionRequest(name=f"{SERVICE}/versions/v1"))


def test_what_the_testbed_lacks_is_refused_by_name(application: Any, connect: Connect) -> None:
    del application
    with pytest.raises((exceptions.MethodNotImplemented, exceptions.NotFound)) as caught:
        connect(admin.FirewallClient).get_ingress_rule(
            admin.GetIngressRuleRequest(name=f"{APP}/firewall/ingressRules/1")
        )
    assert "appengine.apps.firewall.ingressRules.get" in str(caught.value)
