"""Deploying: what both versions of the API do with a service that was asked for.

A deployment whose template differs from the last one makes a revision.  If the revision cannot get ready (no such
image, no such connector), Google takes the service as it was asked for all the same: it says so in its conditions, and
the revision before goes on serving.  So the operation fails, but the body stays; what is in effect is left alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from testbed.api.calls.call import Call
from testbed.api.services import iampolicy
from testbed.api.services.run import names, state, template, validation, view
from testbed.api.services.run.names import EXECUTIONS, JOBS, REVISIONS, SERVICES
from testbed.control.accept.plane import busy
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import Aborted, AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument, Unimplemented
from testbed.json_object import Json
from testbed.model.core.resource import segment
from testbed.model.serverless.run import REVISION

API = "run.v2"
"""Whose operations all of them are, whichever version was called."""
_LETTERS = "bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deployment would do."""

    name: str
    changes: tuple[ResourceChange, ...]
    facts: Json
    """Of the service."""
    failure: Json | None
    """Why the new revision cannot get ready."""


def plan(call: Call, name: str, body: Json, *, request: str, force: bool = False) -> Deployment:
    """Work out a deployment of the service `name`; `request` is how errors name what was sent.

    Raises:
        InvalidArgument, AlreadyExists, Unimplemented: it cannot be.
    """
    record = call.plane.find(SERVICES, name)
    wanted = {**body, "template": dict(body.get("template", {})), "name": name}
    validation.template(wanted["template"], f"{request}.template")
    validation.service(wanted, request)
    _source(record, wanted)
    facts: Json = dict(record.facts) if record else {"creator": call.principal}
    facts |= {"lastModifier": call.principal}
    facts.pop("access", None)
    if access := wanted["template"].get("vpcAccess"):
        wanted["template"]["vpcAccess"], spelled = validation.way(call, access, name)
        if spelled != wanted["template"]["vpcAccess"]:
            facts["access"] = spelled
    known = state.revisions(call.plane, record) if record else []
    scope = call.scope(segment(name, "projects"), region=segment(name, "locations"))
    wanted["traffic"] = _traffic(wanted.get("traffic", []), known)
    resolved = call.plane.resolve(SERVICES, wanted, scope)
    changes, failure = [ResourceChange(SERVICES, name, resolved)], None
    if force or not known or _differs(wanted["template"], known[-1], name):
        facts["revisions"] = facts.get("revisions", len(known)) + 1
        made = _revision_name(name, wanted["template"], facts["revisions"], known)
        made_body = state.revision_body(resolved["template"], made)
        changes.append(ResourceChange(REVISIONS, made, call.plane.resolve(REVISIONS, made_body, scope)))
        failure = validation.foreseen(call, resolved["template"])
    elif state.of_revision(known[-1]).state == state.FAILED and not _is_pinned(resolved):
        changes.append(ResourceChange(REVISIONS, known[-1].name, known[-1].body))  # what it lacked may be there by now
        failure = validation.foreseen(call, resolved["template"])
    return Deployment(name, tuple(changes), facts, failure)


def carry_out(call: Call, planned: Deployment) -> Operation:
    """Accept a deployment."""
    plane, name = call.plane, planned.name
    before = plane.find(SERVICES, name)
    if before is not None and not plane.list(REVISIONS, f"{name}/revisions/"):
        plane.keep(state.implied(before))  # from now on it is one of several
    if failure := planned.failure:
        if before is not None and before.pending:
            raise busy(before)
        for change in planned.changes:
            known = plane.find(change.kind, change.name) or Record(change.kind, change.name, {})
            error = None if known.effective else {"code": failure["code"], "message": failure["message"]}
            plane.keep(replace(known, body=change.body or {}, error=error))
        revision = planned.changes[-1].name.rpartition("/")[2]
        text = f"Revision '{revision}' is not ready and cannot serve traffic. {failure['message']}"
        accepted = submit(call, SERVICES, name, (), fails={**failure, "message": text})
    else:
        accepted = submit(call, SERVICES, name, planned.changes)
    plane.set_facts(SERVICES, name, {**planned.facts, "operation": accepted.id})
    for change in planned.changes[1:]:
        made = plane.get(REVISIONS, change.name)
        outcome = {"fails": failure} if failure else {}
        plane.set_facts(REVISIONS, made.name, {"creator": call.principal, **outcome})
    return accepted


def submit(
    call: Call,
    kind: str,
    name: str,
    changes: tuple[ResourceChange, ...],
    *,
    result: Json | None = None,
    **facts: object,
) -> Operation:
    """Accept an operation of Cloud Run."""
    made = call.operation(kind, name, changes=changes, facts=facts, result=result)
    return call.plane.submit(replace(made, api=API))


def only_validated(kind: str, resource: Json) -> Json:
    """The operation of a call that only asks whether it would be accepted: it is over, and nobody remembers it."""
    name = {SERVICES: "Service", REVISIONS: "Revision", JOBS: "Job", EXECUTIONS: "Execution"}[kind]
    message = {"@type": f"type.googleapis.com/google.cloud.run.v2.{name}", **resource}
    above = "/".join(resource["name"].split("/")[:4])
    return {"name": f"{above}/operations/validate-only", "done": True, "metadata": message, "response": message}


def guard(call: Call, record: Record, etag: str | None) -> None:
    """See that a change is meant for a resource as it is now.

    Raises:
        Aborted: somebody has changed it since it was read.
    """
    current = view.etag(call.plane, record)
    if etag and etag.strip('"') != current:
        raise Aborted(
            GoogleText(
                f"Conflict for resource '{record.id}': version '{etag}' was specified but current version is"
                f" '{current}'."
            )
        )


def delete(call: Call, record: Record) -> Operation:
    """Accept the deletion of a service, with its revisions."""
    plane = call.plane
    gone = {"@type": "type.googleapis.com/google.cloud.run.v2.Service", **view.service(plane, record)}
    known = plane.list(REVISIONS, f"{record.name}/revisions/")
    changes = [ResourceChange(one.kind, one.name, None) for one in (record, *known)]
    accepted = submit(call, SERVICES, record.name, tuple(changes), result=gone)
    plane.drop(iampolicy.KIND, record.name)
    plane.set_facts(SERVICES, record.name, {**record.facts, "operation": accepted.id})
    return accepted


def delete_revision(call: Call, record: Record) -> Operation:
    """Accept the deletion of a revision that does not serve.

    Raises:
        FailedPrecondition: it serves, or would be the next to serve.
    """
    service = call.plane.get(SERVICES, record.name.rpartition("/revisions/")[0])
    known = state.revisions(call.plane, service)
    serves = state.serving(service, known)
    if record.name in {known[-1].name, serves.name if serves else ""}:
        raise FailedPrecondition(
            f"revision '{record.id}': it is the latest of its service or gets its traffic, and cannot be deleted"
        )
    gone = {"@type": "type.googleapis.com/google.cloud.run.v2.Revision", **view.revision(call.plane, record)}
    return submit(call, REVISIONS, record.name, (ResourceChange(REVISIONS, record.name, None),), result=gone)


def _source(record: Record | None, wanted: Json) -> None:
    """Source code comes from the topology file, or it does not come (Google builds images with Cloud Build)."""
    given = wanted.get("buildConfig", {}).get("sourceLocation")
    if given and given != (record.body.get("buildConfig", {}).get("sourceLocation") if record else None):
        raise Unimplemented("service: the testbed cannot deploy from source, which needs Cloud Build; give an image")


def _traffic(targets: list[Json], known: list[Record]) -> list[Json]:
    """The revision that gets the traffic; targets without a share, and without a tag, are no targets.

    Raises:
        InvalidArgument: it is not there, or cannot serve.
    """
    kept = [target for target in targets if target.get("percent")]
    for target in kept:
        if target.get("type") == REVISION:
            named = next((one for one in known if one.id == target.get("revision")), None)
            if named is None:
                raise InvalidArgument(f"revision '{target.get('revision', '')}': not found")
            if state.of_revision(named).state == state.FAILED:
                raise InvalidArgument(GoogleText(f"Revision '{named.id}' is not ready and cannot serve traffic."))
    if targets and not kept:
        raise InvalidArgument(GoogleText("Traffic targets must sum to 100, got 0."))
    return kept


def _is_pinned(body: Json) -> bool:
    return any(target.get("type") == REVISION for target in body.get("traffic", []))


def _differs(wanted: Json, latest: Record, name: str) -> bool:
    asked = wanted.get("revision")
    return (asked is not None and asked != latest.id) or not template.same(wanted, latest.body, name)


def _revision_name(service: str, wanted: Json, number: int, known: list[Record]) -> str:
    """The full name of a new revision.

    Raises:
        AlreadyExists: a revision of the name that was asked for is there.
    """
    short = service.rpartition("/")[2]
    asked = wanted.get("revision") or f"{short}-{number:05d}-{''.join(secrets.choice(_LETTERS) for _ in range(3))}"
    if not asked.startswith(f"{short}-"):
        raise InvalidArgument(f"revision '{asked}': its name must begin with '{short}-'")
    if any(one.id == names.new_revision(asked) for one in known):
        raise AlreadyExists(GoogleText(f"Revision named '{asked}' with different configuration already exists."))
    return f"{service}/revisions/{asked}"
