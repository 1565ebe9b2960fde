"""Jobs, executions and tasks as v2 prints them."""

from __future__ import annotations

from typing import Never

from testbed.api.calls.clock import timestamp
from testbed.api.services.run import state, view
from testbed.api.services.run.names import EXECUTIONS
from testbed.api.services.run.state import FAILED, RECONCILING, SUCCEEDED, ConditionState
from testbed.api.services.run.template import completed_execution, completed_task
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import NotFound
from testbed.json_object import Json


def job(plane: ControlPlane, record: Record, *, public: bool = True) -> Json:
    """A job."""
    body = view.shown(record.body, public=public)
    template = completed_execution(body["template"], record.name)
    now = state.of_service(plane, record)
    executions = plane.list(EXECUTIONS, f"{record.name}/executions/")
    result = {
        "launchStage": "GA",
        **body,
        **view.identity(plane, record),
        "template": view.shown(template, public=public),
        "terminalCondition": view.condition("Ready", now),
        "conditions": [view.condition("ResourcesAvailable", now)],
        "executionCount": len(executions),
    }
    if executions:
        result["latestCreatedExecution"] = reference(plane, executions[-1])
    if now.state == RECONCILING:
        result["reconciling"] = True
    return result


def reference(plane: ControlPlane, record: Record) -> Json:
    """What a job says of an execution."""
    now = state.of_service(plane, record)
    status = {SUCCEEDED: "EXECUTION_SUCCEEDED", FAILED: "EXECUTION_FAILED", RECONCILING: "EXECUTION_RUNNING"}
    result = {"name": record.id, "createTime": timestamp(record.created), "completionStatus": status[now.state]}
    if now.state != RECONCILING:
        result["completionTime"] = timestamp(now.since)
    return result


def execution(plane: ControlPlane, record: Record, *, public: bool = True) -> Json:
    """An execution."""
    body = view.shown(record.body, public=public)
    now = state.of_service(plane, record)
    done = [task["status"] == 0 for task in record.facts.get("tasks", ())]
    count = body.get("taskCount", 1)
    over = now.state != RECONCILING
    completed = view.condition("Completed", now)
    if now.state == FAILED:
        completed["executionReason"] = "NON_ZERO_EXIT_CODE"
    result = {
        "parallelism": 0,
        "taskCount": count,
        "launchStage": "GA",
        **body,
        **view.identity(plane, record),
        "job": record.name.split("/")[-3],
        "template": completed_task(body["template"], record.name),
        "conditions": [
            completed,
            *(view.condition(kind, ConditionState(SUCCEEDED, record.created)) for kind in _BEGUN),
        ],
        "startTime": timestamp(record.created),
        "succeededCount": done.count(True),
        "failedCount": done.count(False) if done or not over else count,
        "runningCount": 0 if over else count,
        "retriedCount": sum(task["attempt"] for task in record.facts.get("tasks", ())),
    }
    return {**result, "completionTime": timestamp(now.since)} if over else {**result, "reconciling": True}


_BEGUN = ("ResourcesAvailable", "Started", "ContainerReady")


def tasks(plane: ControlPlane, record: Record) -> list[Json]:
    """The tasks of an execution."""
    known = {task["index"]: task for task in record.facts.get("tasks", ())}
    return [_task(plane, record, index, known.get(index)) for index in range(record.body.get("taskCount", 1))]


def _task(plane: ControlPlane, record: Record, index: int, task: Json | None) -> Json:
    now = state.of_service(plane, record)
    if task is not None:
        now = ConditionState(SUCCEEDED if task["status"] == 0 else FAILED, task["ended"], task["message"])
    result = {
        **view.identity(plane, record),
        **completed_task(record.body["template"], record.name),
        "name": f"{record.name}/tasks/{record.id}-task{index}",
        "job": record.name.split("/")[-3],
        "execution": record.id,
        "index": index,
        "startTime": timestamp(record.created),
        "conditions": [view.condition("Completed", now)],
    }
    for field in ("creator", "lastModifier"):
        result.pop(field, None)
    if task is not None:
        result["completionTime"] = timestamp(task["ended"])
        result["retried"] = task["attempt"]
        if task["status"] is not None:
            result["lastAttemptResult"] = {"exitCode": task["status"]}
    return result


def no_task(name: str) -> Never:
    """Say that there is no such task.

    Raises:
        NotFound: always.
    """
    raise NotFound(f"task '{name.rpartition('/')[2]}': not found", reason="notFound")
