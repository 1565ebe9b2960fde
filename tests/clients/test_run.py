"""google-cloud-run (v2), unmodified."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.clients.conftest import REGION, Connect, Served
from tests.waiting import PATIENCE

NAME = f"{REGION}/services/hello"
C1 = f"{REGION}/connectors/c1"


def service(connector: str | None = C1, *, image: str = "testbed/runtime") -> run_v2.Service:
    access = run_v2.VpcAccess(connector=connector, egress="PRIVATE_RANGES_ONLY") if connector else None
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image=image)], vpc_access=access)
    return run_v2.Service(template=template, labels={"env": "test"})


@pytest.fixture(autouse=True)
def connector(served: Served) -> None:
    served.network()
    served.connector("c1", "10.8.0.0/28")


@pytest.fixture
def client(connect: Connect) -> run_v2.ServicesClient:
    return connect(run_v2.ServicesClient)


def create(client: run_v2.ServicesClient, name: str = "hello", **fields: str | None) -> run_v2.Service:
    given = service(**fields)  # type: ignore[arg-type]  # of a small function
    return client.create_service(parent=REGION, service=given, service_id=name).result(timeout=PATIENCE)


def test_the_life_of_a_service(client: run_v2.ServicesClient) -> None:
    made = create(client)
    assert made == client.get_service(name=NAME)
    assert made.terminal_condition.state is run_v2.Condition.State.CONDITION_SUCCEEDED
    assert (made.template.vpc_access.connector, dict(made.labels)) == (C1, {"env": "test"})
    made.template.vpc_access = run_v2.VpcAccess(connector=C1, egress="ALL_TRAFFIC")
    updated = client.update_service(service=made).result(timeout=PATIENCE)
    assert updated.template.vpc_access.egress is run_v2.VpcAccess.VpcEgress.ALL_TRAFFIC
    assert updated.generation == made.generation + 1
    assert updated.latest_ready_revision != made.latest_ready_revision
    gone = client.delete_service(name=NAME).result(timeout=PATIENCE)
    assert gone.name == NAME
    with pytest.raises(exceptions.NotFound):
        client.get_service(name=NAME)


def test_a_mask_names_what_is_updated(client: run_v2.ServicesClient) -> None:
    create(client)
    given = run_v2.Service(name=NAME, description="new", labels={"not": "meant"})
    request = run_v2.UpdateServiceRequest(service=given, update_mask=FieldMask(paths=["description"]))
    updated = client.update_service(request).result(timeout=PATIENCE)
    assert (updated.description, dict(updated.labels)) == ("new", {"env": "test"})
    request = run_v2.UpdateServiceRequest(service={"name": NAME}, update_mask=FieldMask(paths=["description"]))
    assert client.update_service(request).result(timeout=PATIENCE).description == ""


def test_services_and_revisions_are_listed(client: run_v2.ServicesClient, connect: Connect) -> None:
    for name in ("a1", "a2", "a3"):
        create(client, name)
    pages = client.list_services(run_v2.ListServicesRequest(parent=REGION, page_size=2)).pages
    assert [len(page.services) for page in pages] == [2, 1]
    revisions = connect(run_v2.RevisionsClient)
    found = list(revisions.list_revisions(parent=f"{REGION}/services/a1"))
    assert [one.service for one in found] == ["a1"]
    assert revisions.get_revision(name=found[0].name) == found[0]


def test_refusals(client: run_v2.ServicesClient) -> None:
    create(client)
    with pytest.raises(exceptions.Conflict):
        create(client)
    with pytest.raises(exceptions.BadRequest):
        create(client, "No_Name")
    with pytest.raises(exceptions.NotFound):
        client.delete_service(name=f"{REGION}/services/none")


def test_a_stale_etag_is_refused(client: run_v2.ServicesClient) -> None:
    old = create(client)
    client.update_service(service=old).result(timeout=PATIENCE)
    with pytest.raises(exceptions.Conflict):
        client.update_service(service=old)


@pytest.mark.behaviour("1.10.5")
def test_a_connector_that_is_not_there(client: run_v2.ServicesClient) -> None:
    text = f"VPC connector {REGION}/connectors/none does not exist, or Cloud Run does not have permission to use it."
    with pytest.raises(exceptions.GoogleAPICallError, match=text):
        create(client, connector=f"{REGION}/connectors/none")


def test_the_life_of_a_job(connect: Connect) -> None:
    client = connect(run_v2.JobsClient)
    task = run_v2.TaskTemplate(
        containers=[run_v2.Container(image="testbed/runtime")], vpc_access=run_v2.VpcAccess(connector=C1), max_retries=1
    )
    given = run_v2.Job(template=run_v2.ExecutionTemplate(template=task, task_count=2))
    made = client.create_job(parent=REGION, job=given, job_id="once").result(timeout=PATIENCE)
    assert made == client.get_job(name=f"{REGION}/jobs/once")
    assert (made.template.task_count, made.template.template.vpc_access.connector) == (2, C1)
    assert [one.name for one in client.list_jobs(parent=REGION)] == [made.name]
    client.delete_job(name=made.name).result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.get_job(name=made.name)
