"""How far services and their revisions have come, and the revisions that a service has."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.api.services.run.names import REVISIONS
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.control.state.resources import Record
from testbed.errors import NotFound
from testbed.json_object import Json
from testbed.model.serverless.run import REVISION

SUCCEEDED, FAILED, RECONCILING = "CONDITION_SUCCEEDED", "CONDITION_FAILED", "CONDITION_RECONCILING"


@dataclass(frozen=True, slots=True)
class ConditionState:
    """What the condition `Ready` says."""

    state: str
    since: float
    message: str = ""
    reason: str = ""
    """Google's word for the cause, as v2 spells it: `CONTAINER_MISSING`."""


def of_service(plane: ControlPlane, record: Record) -> ConditionState:
    """What has become of the last change of a service (or of a job)."""
    operation = last_operation(plane, record)
    if operation is not None and not operation.done:
        return ConditionState(RECONCILING, operation.accepted)
    error = operation.error if operation is not None else record.error
    since = (operation.ended if operation is not None else None) or record.updated
    if error:
        reason = operation.facts.get("fails", {}).get("reason", "") if operation is not None else ""
        return ConditionState(FAILED, since, error["message"], reason)
    return ConditionState(SUCCEEDED, since)


def of_revision(record: Record) -> ConditionState:
    """What has become of a revision."""
    if error := record.error:
        reason = record.facts.get("fails", {}).get("reason", "")
        return ConditionState(FAILED, record.updated, error["message"], reason)
    ready = record.effective is not None and not record.pending
    return ConditionState(SUCCEEDED if ready else RECONCILING, record.created)


def last_operation(plane: ControlPlane, record: Record) -> Operation | None:
    """The last operation of a resource that is remembered."""
    try:
        return plane.operation(record.facts.get("operation", ""))
    except NotFound:
        return None


def revisions(plane: ControlPlane, service: Record) -> list[Record]:
    """The revisions of a service, the oldest first; of one from a topology file, what its template stands for."""
    found = plane.list(REVISIONS, f"{service.name}/revisions/")
    return found or [implied(service)]


def implied(service: Record) -> Record:
    """The revision of a service that was not deployed by a call."""
    name = f"{service.name}/revisions/{service.id}-00001"
    body = revision_body(service.body["template"], name)
    effective = None if service.effective is None else body
    return Record(
        REVISIONS, name, body, effective, created=service.created, updated=service.created, error=service.error
    )


def revision_body(template: Json, name: str) -> Json:
    """A revision that is made from a template."""
    return {**{key: value for key, value in template.items() if key != "revision"}, "name": name}


def latest_ready(known: list[Record]) -> Record | None:
    """The newest revision that can serve."""
    return next((one for one in reversed(known) if of_revision(one).state == SUCCEEDED), None)


def serving(service: Record, known: list[Record]) -> Record | None:
    """The revision that gets the traffic: the latest, unless one is named."""
    targets = [target for target in service.body.get("traffic", []) if target.get("percent")]
    if targets and targets[0].get("type") == REVISION:
        return next((one for one in known if one.id == targets[0].get("revision")), None)
    return latest_ready(known)
