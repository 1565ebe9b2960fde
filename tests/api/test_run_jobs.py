"""Cloud Run jobs: what is kept, and what an execution runs and reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from testbed.control.realise import executions
from testbed.json_object import Json
from testbed.model.compute.guest_scripts import Phase, Script
from tests.api.harness import Api, Refused

JOBS = "v2/projects/demo/locations/us-central1/jobs"
HOST = "us-central1-run.googleapis.com"
NAMESPACE = "apis/run.googleapis.com/v1/namespaces/demo"


@dataclass
class Nodes:
    """Nodes whose commands end as they are told to."""

    statuses: dict[str, list[int]] = field(default_factory=dict)
    """By node: one for each attempt; 0 after that."""
    commands: list[tuple[str, list[str]]] = field(default_factory=list)

    def own_command(self, name: str) -> tuple[list[str], list[str]]:
        del name
        return ["/entry"], ["own"]

    def capture(
        self, name: str, argv: Sequence[str], *, on_output: Callable[[bytes], object], timeout: float
    ) -> tuple[int, bytes]:
        assert timeout > 0
        self.commands.append((name, list(argv)))
        on_output(b"said\n")
        left = self.statuses.get(name, [])
        return (left.pop(0) if left else 0), b""

    def run_scripts(
        self, name: str, phase: Phase, scripts: Sequence[Script], timeout: float | None = None
    ) -> list[str]:
        raise AssertionError(f"{name} is no VM: {phase} {scripts} {timeout}")


@pytest.fixture
def nodes(api: Api) -> Nodes:
    made = Nodes()
    api.kernel.nodes = made
    return made


def body(*, tasks: int = 1, **task: Any) -> Json:
    container = {"image": "testbed/runtime", "env": [{"name": "A", "value": "b"}], **task.pop("container", {})}
    return {"template": {"taskCount": tasks, "template": {"containers": [container], **task}}}


def test_a_job_is_kept_with_googles_defaults(api: Api) -> None:
    made = api.post(JOBS, body(), jobId="work")["response"]
    assert made["template"]["template"]["maxRetries"] == 3
    assert made["template"]["template"]["timeout"] == "600s"
    assert made["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    changed = api.patch(f"{JOBS}/work", {**body(tasks=2), "etag": made["etag"]})["response"]
    assert (changed["generation"], changed["template"]["taskCount"]) == ("2", 2)
    with pytest.raises(Refused) as caught:
        api.patch(f"{JOBS}/work", {**body(), "etag": made["etag"]})
    assert caught.value.status == "ABORTED"
    assert [job["name"] for job in api.get(JOBS)["jobs"]] == ["projects/demo/locations/us-central1/jobs/work"]
    assert api.delete(f"{JOBS}/work")["done"] is True
    assert api.get(JOBS) == {}


def test_an_execution_runs_every_task(api: Api, nodes: Nodes) -> None:
    api.post(JOBS, body(tasks=2, container={"command": ["work"], "args": ["hard"]}), jobId="work")
    done = api.post(f"{JOBS}/work:run", {})["response"]
    assert (done["succeededCount"], done["failedCount"], done["taskCount"]) == (2, 0, 2)
    assert done["conditions"][0] == {**done["conditions"][0], "type": "Completed", "state": "CONDITION_SUCCEEDED"}
    name = done["name"].rpartition("/")[2]
    wanted = ["env", "CLOUD_RUN_TASK_ATTEMPT=0", "work", "hard"]
    assert sorted(nodes.commands) == [(name, wanted), (f"{name}-2", wanted)]
    tasks = api.get(f"v2/{done['name']}/tasks")["tasks"]
    assert [task["index"] for task in tasks] == [0, 1]
    assert tasks[0]["lastAttemptResult"] == {"exitCode": 0}
    assert (api.store.folder / "executions" / f"{name}.log").read_bytes() == b"said\n"
    job = api.get(f"{JOBS}/work")
    assert job["latestCreatedExecution"]["completionStatus"] == "EXECUTION_SUCCEEDED"


def test_the_nodes_of_an_execution_are_there_only_while_it_runs(
    api: Api, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def look(name: str, *_: object, **__: object) -> tuple[int, bytes]:
        assert api.kernel.plan is not None
        seen.extend({"entry": n.entrypoint, **n.environment} for n in api.kernel.plan.nodes if n.name == name)
        return 0, b""

    monkeypatch.setattr(nodes, "capture", look)
    api.post(JOBS, body(), jobId="work")
    done = api.post(f"{JOBS}/work:run", {"overrides": {"containerOverrides": [{"env": [{"name": "A", "value": "c"}]}]}})
    (node,) = seen
    assert node["entry"] == ("sleep",)
    assert (node["A"], node["CLOUD_RUN_JOB"], node["CLOUD_RUN_TASK_INDEX"]) == ("c", "work", "0")
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    assert api.kernel.plan is not None
    assert done["response"]["name"].rpartition("/")[2] not in {n.name for n in api.kernel.plan.nodes}


def test_a_task_is_tried_again_and_fails_at_last(api: Api, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = iter([1, 1, 0, 1, 1, 1])
    monkeypatch.setattr(nodes, "capture", lambda *_, **__: (next(attempts), b""))
    api.post(JOBS, body(maxRetries=2), jobId="work")
    assert api.post(f"{JOBS}/work:run", {})["response"]["retriedCount"] == 2
    failed = api.post(f"{JOBS}/work:run", {})
    assert failed["error"]["message"].endswith("-task0 failed with message: The container exited with an error.")
    seen = api.get(f"v2/{failed['metadata']['name']}")
    assert (seen["failedCount"], seen["conditions"][0]["executionReason"]) == (1, "NON_ZERO_EXIT_CODE")
    executions = api.get(f"{JOBS}/work/executions")["executions"]
    assert [one["conditions"][0]["state"] for one in executions] == ["CONDITION_FAILED", "CONDITION_SUCCEEDED"]


def test_without_a_command_the_image_has_its_own(api: Api, nodes: Nodes) -> None:
    api.post(JOBS, body(), jobId="work")
    api.post(f"{JOBS}/work:run", {})
    api.patch(f"{JOBS}/work", body(container={"args": ["mine"]}))
    api.post(f"{JOBS}/work:run", {})
    assert [argv[2:] for _, argv in nodes.commands] == [["/entry", "own"], ["/entry", "mine"]]


@pytest.mark.behaviour("1.10.5")
def test_what_is_missing_is_found_when_the_job_is_made(api: Api) -> None:
    done = api.post(JOBS, body(vpcAccess={"connector": "c1"}), jobId="work")
    assert done["error"]["message"].startswith("VPC connector projects/demo/locations/us-central1/connectors/c1 does")
    assert api.get(f"{JOBS}/work")["terminalCondition"]["state"] == "CONDITION_FAILED"
    with pytest.raises(Refused, match="does not exist"):
        api.post(f"{JOBS}/work:run", {})
    with pytest.raises(Refused, match="one and only one of connector and network_interfaces"):
        api.post(JOBS, body(vpcAccess={"egress": "ALL_TRAFFIC"}), jobId="other")


@pytest.mark.usefixtures("nodes")
def test_gcloud_makes_runs_and_lists(api: Api) -> None:
    job = {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": "demo"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"run.googleapis.com/execution-environment": "gen2"}},
                "spec": {
                    "taskCount": 2,
                    "template": {
                        "spec": {"containers": [{"image": "testbed/runtime"}], "maxRetries": 0, "timeoutSeconds": "60"}
                    },
                },
            }
        },
    }
    made = api.post(f"{NAMESPACE}/jobs", job, host=HOST)
    assert made["status"]["conditions"][0]["status"] == "True"
    tasks = made["spec"]["template"]["spec"]["template"]["spec"]
    assert (tasks["maxRetries"], tasks["timeoutSeconds"]) == (0, "60")
    run = api.post(f"{NAMESPACE}/jobs/work:run", {}, host=HOST)
    name = run["metadata"]["name"]
    seen = api.get(f"{NAMESPACE}/executions/{name}", host=HOST)
    assert {one["type"]: one["status"] for one in seen["status"]["conditions"]} == {
        "Completed": "True",
        "ResourcesAvailable": "True",
        "Started": "True",
        "ContainerReady": "True",
    }
    selector = f"run.googleapis.com/execution = {name}"
    assert len(api.get(f"{NAMESPACE}/tasks", host=HOST, labelSelector=selector)["items"]) == 2
    task = api.get(f"{NAMESPACE}/tasks/{name}-task1", host=HOST)
    assert task["metadata"]["labels"]["run.googleapis.com/runningState"] == "Succeeded"
    assert task["status"]["index"] == 1
    again = api.put(f"{NAMESPACE}/jobs/work", api.get(f"{NAMESPACE}/jobs/work", host=HOST), host=HOST)
    assert again["spec"] == made["spec"]
    assert api.get(f"{NAMESPACE}/jobs", host="run.googleapis.com")["items"][0]["status"]["executionCount"] == 1
    assert api.delete(f"{NAMESPACE}/executions/{name}", host=HOST) == {"status": "Success"}
    assert api.delete(f"{NAMESPACE}/jobs/work", host=HOST) == {"status": "Success"}


def test_what_a_task_writes_does_not_grow_without_end(tmp_path: Path) -> None:
    log = tmp_path / "task.log"
    piece = bytes(executions.LARGEST // 4)
    for _ in range(20):
        executions._keep(log, piece)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * (executions.LARGEST + len(piece))
    executions._keep(log, b"the last")
    assert log.read_bytes().endswith(b"the last")
