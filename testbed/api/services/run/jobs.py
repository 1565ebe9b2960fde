"""Cloud Run's jobs and their executions: what both versions of the API do with them, and v2's methods.

An execution runs for real: a container for each task, in the region's serverless infrastructure, with the job's
connector (`testbed.control.realise.executions`).
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import masks
from testbed.api.contract.discovery import document
from testbed.api.services import direct
from testbed.api.services.run import deploy, job_view, names, validation
from testbed.api.services.run.names import EXECUTIONS, JOBS
from testbed.api.services.run.pages import page
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument, Unimplemented
from testbed.json_object import Json
from testbed.model.core.resource import segment

API = "run.v2"
_JOBS = "projects.locations.jobs"
_EXECUTIONS = f"{_JOBS}.executions"
FIELDS = frozenset(document(API).schemas["GoogleCloudRunV2Job"]["properties"])
MAX_TASKS = 20
"""Tasks of an execution: each is a container from the beginning to the end of the execution (our choice)."""


# -- both versions ------------------------------------------------------------------------------------------------


def make(call: Call, name: str, body: Json, *, request: str) -> Operation:
    """Accept a job as it is asked for.

    Raises:
        InvalidArgument, Unimplemented: it cannot be.
    """
    record = call.plane.find(JOBS, name)
    wanted = resolved(call, name, body, request)
    people = {"creator": call.principal} if record is None else {}
    failure = validation.foreseen(call, wanted["template"]["template"])
    if failure:
        call.plane.keep(replace(record or Record(JOBS, name, wanted), body=wanted))
        accepted = deploy.submit(call, JOBS, name, (), fails=failure)
    else:
        accepted = deploy.submit(call, JOBS, name, (ResourceChange(JOBS, name, wanted),))
    facts = {**(record.facts if record else {}), **people, "lastModifier": call.principal, "operation": accepted.id}
    call.plane.set_facts(JOBS, name, facts)
    return accepted


def resolved(call: Call, name: str, body: Json, request: str) -> Json:
    """The body of a job with the full name of its connector or network."""
    execution = dict(body.get("template", {}))
    task = dict(execution.get("template", {}))
    validation.template(task, f"{request}.template.template")
    if not 0 < execution.get("taskCount", 1) <= MAX_TASKS:
        raise Unimplemented(f"{request}.template.task_count: the testbed runs 1 to {MAX_TASKS} tasks of a job")
    if access := task.get("vpcAccess"):
        task["vpcAccess"], _ = validation.way(call, access, name)
        for interface in task["vpcAccess"].get("networkInterfaces", ()):
            direct.check(call, interface, segment(name, "locations"))
    kept = {key: value for key, value in body.items() if key not in {"etag", "name"}}
    return {**kept, "name": name, "template": {**execution, "template": task}}


def run(call: Call, record: Record) -> Operation:
    """Accept an execution of a job, with what the caller overrides.

    Raises:
        FailedPrecondition: what it needs is not there.
    """
    name = f"{record.name}/executions/{record.id}-{secrets.token_hex(4)[:5]}"
    overridden = _overridden(record.body["template"], call.body.get("overrides", {}))
    template = resolved(call, record.name, {"template": overridden}, "RunJobRequest")["template"]
    if failure := validation.foreseen(call, template["template"]):
        raise FailedPrecondition(failure["message"])
    kept = {key: template[key] for key in ("labels", "annotations", "parallelism", "taskCount") if key in template}
    body = {**kept, "name": name, "template": template["template"]}
    scope = call.scope(segment(name, "projects"), region=segment(name, "locations"))
    change = ResourceChange(EXECUTIONS, name, call.plane.resolve(EXECUTIONS, body, scope))
    accepted = deploy.submit(call, EXECUTIONS, name, (change,))
    call.plane.set_facts(EXECUTIONS, name, {"creator": call.principal, "operation": accepted.id})
    return accepted


def delete(call: Call, record: Record) -> Operation:
    """Accept the deletion of a job with its executions, or of an execution.

    Raises:
        FailedPrecondition: tasks run.
    """
    below = call.plane.list(EXECUTIONS, f"{record.name}/executions/")
    if any(one.pending for one in (record, *below)):
        raise FailedPrecondition(f"job '{record.id}': one of its executions runs; wait until that has ended")
    view = job_view.job if record.kind == JOBS else job_view.execution
    kind = "Job" if record.kind == JOBS else "Execution"
    gone = {"@type": f"type.googleapis.com/google.cloud.run.v2.{kind}", **view(call.plane, record)}
    changes = [ResourceChange(one.kind, one.name, None) for one in (record, *below)]
    return deploy.submit(call, record.kind, record.name, tuple(changes), result=gone)


def _overridden(template: Json, overrides: Json) -> Json:
    """An execution's template with other arguments, variables, number of tasks or time limit."""
    result = {**template, "template": dict(template["template"])}
    if "taskCount" in overrides:
        result["taskCount"] = overrides["taskCount"]
    limit = overrides.get("timeout") or (f"{overrides['timeoutSeconds']}s" if "timeoutSeconds" in overrides else None)
    if limit:
        result["template"]["timeout"] = limit
    for given in overrides.get("containerOverrides", []):
        (container,) = result["template"]["containers"]
        changed = dict(container)
        if given.get("args") or given.get("clearArgs"):
            changed["args"] = given.get("args", [])
        if env := given.get("env"):
            known = {variable["name"]: variable for variable in (*container.get("env", []), *env)}
            changed["env"] = list(known.values())
        result["template"]["containers"] = [changed]
    return result


# -- v2 -----------------------------------------------------------------------------------------------------------


@serves(API, f"{_JOBS}.create")
def create(call: Call) -> Answer:
    """Make a job."""
    above = names.parent(call)
    given = names.new_id(call.text("jobId"), "job_id")
    name = f"{above}/jobs/{given}"
    if call.plane.find(JOBS, name):
        raise AlreadyExists(GoogleText(f"Resource '{given}' already exists."), reason="alreadyExists")
    return _made(call, name, call.body, "CreateJobRequest.job")


@serves(API, f"{_JOBS}.patch")
def patch(call: Call) -> Answer:
    """Put what was sent in the place of a job: v2 has no mask for it."""
    name = names.full(call, call.text("name"))
    if call.plane.find(JOBS, name) is None and call.flag("allowMissing"):
        names.new_id(name.rpartition("/")[2], "job.name")
        return _made(call, name, call.body, "UpdateJobRequest.job")
    record = names.record(call, JOBS, name)
    deploy.guard(call, record, call.body.get("etag"))
    body = masks.apply(record.body, call.body, (masks.EVERYTHING,), known=FIELDS)
    body["annotations"] = {**validation.hidden(record.body), **body.get("annotations", {})}
    return _made(call, name, body, "UpdateJobRequest.job")


@serves(API, f"{_JOBS}.delete", f"{_EXECUTIONS}.delete")
def delete_(call: Call) -> Answer:
    """Delete a job or an execution."""
    record = _named(call)
    deploy.guard(call, record, call.text("etag"))
    if call.flag("validateOnly"):
        return deploy.only_validated(record.kind, {"name": record.name})
    return delete(call, record)


@serves(API, f"{_JOBS}.run")
def run_(call: Call) -> Answer:
    """Run a job."""
    record = _named(call)
    deploy.guard(call, record, call.body.get("etag"))
    if call.body.get("validateOnly"):
        return deploy.only_validated(EXECUTIONS, {"name": f"{record.name}/executions/{record.id}"})
    return run(call, record)


@serves(API, f"{_JOBS}.get")
def get(call: Call) -> Json:
    """One job."""
    return job_view.job(call.plane, _named(call))


@serves(API, f"{_JOBS}.list")
def list_(call: Call) -> Json:
    """The jobs of a region, or (`-`) of all."""
    above = names.full(call, call.text("parent"))
    return page(call, "jobs", [job_view.job(call.plane, one) for one in names.below(call, JOBS, above)], above)


@serves(API, f"{_EXECUTIONS}.get")
def get_execution(call: Call) -> Json:
    """One execution."""
    return job_view.execution(call.plane, _named(call))


@serves(API, f"{_EXECUTIONS}.list")
def list_executions(call: Call) -> Json:
    """The executions of a job, or (`-`) of all, the newest first."""
    above = names.full(call, call.text("parent"))
    found = [job_view.execution(call.plane, one) for one in executions_of(call, above)]
    return page(call, "executions", found, above, order_by="createTime desc")


@serves(API, f"{_EXECUTIONS}.tasks.get")
def get_task(call: Call) -> Json:
    """One task."""
    name = names.full(call, call.text("name"))
    owner = names.record(call, EXECUTIONS, name.rpartition("/tasks/")[0])
    found = next((task for task in job_view.tasks(call.plane, owner) if task["name"] == name), None)
    return found or job_view.no_task(name)


@serves(API, f"{_EXECUTIONS}.tasks.list")
def list_tasks(call: Call) -> Json:
    """The tasks of an execution."""
    above = names.full(call, call.text("parent"))
    owner = names.record(call, EXECUTIONS, above)
    return page(call, "tasks", job_view.tasks(call.plane, owner), above)


def executions_of(call: Call, above: str) -> list[Record]:
    """The executions of a job; `-` as the last segment means all jobs of the region."""
    place, _, job = above.rpartition("/jobs/")
    known = [
        one
        for owner in names.below(call, JOBS, place)
        if job in {"-", owner.id}
        for one in call.plane.list(EXECUTIONS, f"{owner.name}/executions/")
    ]
    if job != "-":
        names.record(call, JOBS, above)
    return known


def _made(call: Call, name: str, body: Json, request: str) -> Answer:
    template = call.body.get("template", {})
    for part, where in ((call.body, request), (template, f"{request}.template")):
        validation.fits_v2(part, where)
    if call.body.get("name", name) != name:
        raise InvalidArgument(GoogleText(f"Violation in {request}.name: must be '{name}'."))
    if call.flag("validateOnly"):
        return deploy.only_validated(JOBS, resolved(call, name, body, request))
    return make(call, name, body, request=request)


def _named(call: Call) -> Record:
    """The job or the execution that a call names."""
    name = names.full(call, call.text("name"))
    return names.record(call, EXECUTIONS if "/executions/" in name else JOBS, name)
