"""Cloud Run by its own client library: executions of jobs run, deployments start, and connectors carry or do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2

from testbed.control.state.store import Store
from tests.e2e.program import Program
from tests.e2e.readers import LONGEST
from tests.e2e.small import file, program, small
from tests.waiting import PATIENCE, eventually

REGION = "projects/small/locations/us-central1"
HELLO = "gcr.io/cloudrun/hello"
VM = f"/http?url=http://10.128.0.2/&timeout={LONGEST}"
ASK = "import urllib.request as r; print(r.urlopen('http://10.128.0.2/').read().decode())"
FAIL_SECOND = "import os; raise SystemExit(3 * int(os.environ['CLOUD_RUN_TASK_INDEX']))"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("run"), "run") as made:
        made.run("up", file(made, small(made.name)))
        yield made


@pytest.fixture
def clients(bed: Program, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("TESTBED_STATE", str(bed.state))
    with Store.open(bed.name) as store:
        options = {"api_endpoint": f"http://127.0.0.1:{store.port}"}
    given: dict[str, Any] = {"transport": "rest", "credentials": AnonymousCredentials(), "client_options": options}  # type: ignore[no-untyped-call]
    return {
        "services": run_v2.ServicesClient(**given),
        "jobs": run_v2.JobsClient(**given),
        "tasks": run_v2.TasksClient(**given),
    }


def task(program: str, *, retries: int = 0) -> run_v2.TaskTemplate:
    container = run_v2.Container(image=HELLO, command=["python3"], args=["-c", program])
    return run_v2.TaskTemplate(containers=[container], max_retries=retries, vpc_access=run_v2.VpcAccess(connector="c1"))


def execute(clients: dict[str, Any], name: str, template: run_v2.TaskTemplate, *, tasks: int) -> Any:
    job = run_v2.Job(template=run_v2.ExecutionTemplate(task_count=tasks, template=template))
    clients["jobs"].create_job(parent=REGION, job=job, job_id=name).result(timeout=PATIENCE)
    return clients["jobs"].run_job(name=f"{REGION}/jobs/{name}")


def test_the_tasks_of_a_job_reach_the_vm_through_the_connector(bed: Program, clients: dict[str, Any]) -> None:
    done = execute(clients, "ask", task(ASK), tasks=2).result(timeout=PATIENCE)
    assert (done.succeeded_count, done.failed_count) == (2, 0)
    logs = sorted((bed.state / bed.name / "executions").glob("ask-*.log"))
    assert len(logs) == 2
    for log in logs:
        assert json.loads(log.read_text())["client"].startswith("10.8.0.")  # an instance of the connector


def test_a_task_that_fails_is_tried_again_and_named(clients: dict[str, Any]) -> None:
    running = execute(clients, "fail", task(FAIL_SECOND, retries=1), tasks=2)
    with pytest.raises(exceptions.GoogleAPICallError, match=r"-task1 failed with message: The container exited"):
        running.result(timeout=PATIENCE)
    found = clients["tasks"].list_tasks(parent=running.metadata.name)
    assert [(one.last_attempt_result.exit_code, one.retried) for one in found] == [(0, 0), (3, 1)]


def test_a_container_that_ends_is_no_revision_that_serves(bed: Program, clients: dict[str, Any]) -> None:
    services = clients["services"]
    template = run_v2.RevisionTemplate(
        containers=[run_v2.Container(image=HELLO)], vpc_access=run_v2.VpcAccess(connector="c1")
    )
    made = services.create_service(parent=REGION, service=run_v2.Service(template=template), service_id="hello").result(
        timeout=PATIENCE
    )
    serving = made.latest_ready_revision.rpartition("/")[2]
    assert bed.json("invoke", "hello", VM)["status"] == 200  # at once: it is done when it listens
    made.template.containers[0].command, made.template.containers[0].args = ["sleep"], ["1"]
    with pytest.raises(exceptions.FailedPrecondition, match="failed to start and listen on the port"):
        services.update_service(service=made).result(timeout=PATIENCE)
    # The revision before is back; requests fail while its container starts (our choice, docs/serverless.md).
    eventually(lambda: _answers(bed, "hello"), "an answer")
    assert json.loads(bed.json("invoke", "hello")["body"])["revision"] == serving


def _answers(bed: Program, service: str) -> bool:
    return bed.run("invoke", service, check=False).returncode == 0
