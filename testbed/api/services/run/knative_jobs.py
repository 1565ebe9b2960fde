"""Cloud Run v1: jobs, their executions and tasks (`gcloud run jobs`)."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.run import deploy, job_view, jobs, knative, knative_view, names, state
from testbed.api.services.run.knative import RUN, UPDATED
from testbed.api.services.run.knative_view import JOBS as VERSION
from testbed.api.services.run.knative_view import condition, envelope, metadata_of
from testbed.api.services.run.names import EXECUTIONS, JOBS
from testbed.api.services.run.namespaces import API, DELETED, VIEWS, is_dry
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText, InvalidArgument
from testbed.json_object import Json


@serves(API, "namespaces.jobs.create")
def create(call: Call) -> Answer:
    """Make a job."""
    above = names.parent(call)
    given = names.new_id(call.body.get("metadata", {}).get("name", ""), "metadata.name")
    name = f"{above}/jobs/{given}"
    if call.plane.find(JOBS, name):
        raise AlreadyExists(GoogleText(f"Resource '{given}' already exists."), reason="alreadyExists")
    return _made(call, name, "CreateJobRequest.job")


@serves(API, "namespaces.jobs.replaceJob")
def replace_job(call: Call) -> Answer:
    """Put what was sent in the place of a job."""
    record = _job(call)
    metadata = call.body.get("metadata", {})
    if metadata.get("name", record.id) != record.id:
        raise InvalidArgument(f"metadata.name: must be '{record.id}', as in the path")
    deploy.guard(call, record, metadata.get("resourceVersion"))
    return _made(call, record.name, "UpdateJobRequest.job")


@serves(API, "namespaces.jobs.get")
def get(call: Call) -> Json:
    """One job."""
    return job(call.plane, _job(call))


@serves(API, "namespaces.jobs.list")
def list_(call: Call) -> Json:
    """The jobs of a region, or of all."""
    above = names.full(call, call.text("parent"))
    shown = [job(call.plane, record) for record in names.below(call, JOBS, above)]
    return knative_view.listed("Job", VERSION, knative_view.selected(shown, call.text("labelSelector")))


@serves(API, "namespaces.jobs.run")
def run(call: Call) -> Answer:
    """Run a job."""
    return jobs.run(call, _job(call))


@serves(API, "namespaces.jobs.delete")
def delete(call: Call) -> Answer:
    """Delete a job with its executions."""
    return DELETED if is_dry(call) else jobs.delete(call, _job(call))


@serves(API, "namespaces.executions.get")
def get_execution(call: Call) -> Json:
    """One execution."""
    return execution(call.plane, _execution(call))


@serves(API, "namespaces.executions.list")
def list_executions(call: Call) -> Json:
    """The executions of all jobs of a region, or of those that a selector names, the newest first."""
    above = names.full(call, call.text("parent"))
    shown = [execution(call.plane, record) for record in names.below(call, EXECUTIONS, above)]
    kept = knative_view.selected(reversed(shown), call.text("labelSelector"))
    return knative_view.listed("Execution", VERSION, kept)


@serves(API, "namespaces.executions.delete")
def delete_execution(call: Call) -> Answer:
    """Delete an execution that is over."""
    return DELETED if is_dry(call) else jobs.delete(call, _execution(call))


@serves(API, "namespaces.tasks.list")
def list_tasks(call: Call) -> Json:
    """The tasks of all executions of a region, or of those that a selector names."""
    above = names.full(call, call.text("parent"))
    shown = [one for record in names.below(call, EXECUTIONS, above) for one in _tasks(call.plane, record)]
    return knative_view.listed("Task", VERSION, knative_view.selected(shown, call.text("labelSelector")))


@serves(API, "namespaces.tasks.get")
def get_task(call: Call) -> Json:
    """One task."""
    name = names.full(call, call.text("name"))
    above, _, given = name.rpartition("/tasks/")
    shown = (one for record in names.below(call, EXECUTIONS, above) for one in _tasks(call.plane, record))
    return next((one for one in shown if one["metadata"]["name"] == given), None) or job_view.no_task(name)


# -- as v1 prints them --------------------------------------------------------------------------------------------


def job(plane: ControlPlane, record: Record) -> Json:
    """A job."""
    shown = job_view.job(plane, record, public=False)
    translated = knative.job_from_v2(shown)
    metadata = metadata_of(plane, record, "jobs", translated["metadata"], {}, version=VERSION)
    metadata["labels"][UPDATED] = shown["updateTime"]
    status = {
        "conditions": [condition(one) for one in (shown["terminalCondition"], *shown["conditions"])],
        "observedGeneration": record.generation,
        "executionCount": shown["executionCount"],
    }
    if latest := shown.get("latestCreatedExecution"):
        times = {"createTime": "creationTimestamp", "completionTime": "completionTimestamp"}
        status["latestCreatedExecution"] = {times.get(key, key): value for key, value in latest.items()}
    return envelope("Job", VERSION, metadata, translated["spec"], status)


def execution(plane: ControlPlane, record: Record) -> Json:
    """An execution."""
    shown = job_view.execution(plane, record, public=False)
    translated = knative.execution_from_v2(shown)
    given = translated["metadata"]
    labels = {**given["labels"], f"{RUN}job": shown["job"]}
    metadata = metadata_of(plane, record, "executions", {**given, "labels": labels}, {}, version=VERSION)
    kept = ("startTime", "completionTime", "succeededCount", "failedCount", "runningCount", "retriedCount")
    status = {
        **{key: shown[key] for key in kept if key in shown},
        "observedGeneration": record.generation,
        "conditions": [condition(one) for one in shown["conditions"]],
    }
    return envelope("Execution", VERSION, metadata, translated["spec"], status)


def _tasks(plane: ControlPlane, record: Record) -> list[Json]:
    return [_task(plane, record, shown) for shown in job_view.tasks(plane, record)]


_RUNNING = {state.SUCCEEDED: "Succeeded", state.FAILED: "Failed", state.RECONCILING: "Running"}
"""The word for a task in each state of its condition (gcloud's)."""


def _task(plane: ControlPlane, record: Record, shown: Json) -> Json:
    running = _RUNNING[shown["conditions"][0]["state"]]
    labels = {f"{RUN}job": shown["job"], f"{RUN}execution": record.id, f"{RUN}runningState": running}
    metadata = metadata_of(plane, record, "tasks", {"labels": labels, "annotations": {}}, {}, version=VERSION)
    name = shown["name"].rpartition("/")[2]
    metadata |= {"name": name, "selfLink": metadata["selfLink"].replace(f"/{record.id}", f"/{name}")}
    kept = ("startTime", "completionTime", "index", "retried", "lastAttemptResult")
    status = {
        **{key: shown[key] for key in kept if key in shown},
        "observedGeneration": record.generation,
        "conditions": [condition(one) for one in shown["conditions"]],
    }
    spec = knative.execution_from_v2({"template": shown})["spec"]["template"]["spec"]
    return envelope("Task", VERSION, metadata, spec, status)


VIEWS.update({JOBS: job, EXECUTIONS: execution})


def _made(call: Call, name: str, request: str) -> Answer:
    body = knative.job_to_v2(call.body)
    if is_dry(call):
        wanted = jobs.resolved(call, name, body, request)
        return job(call.plane, call.plane.find(JOBS, name) or Record(JOBS, name, wanted))
    return jobs.make(call, name, body, request=request)


def _job(call: Call) -> Record:
    return names.record(call, JOBS, names.full(call, call.text("name")))


def _execution(call: Call) -> Record:
    """The execution that a call names, without its job."""
    name = names.full(call, call.text("name"))
    above, _, given = name.rpartition("/executions/")
    found = next((one for one in names.below(call, EXECUTIONS, above) if one.id == given), None)
    return found or names.record(call, EXECUTIONS, name)
