"""Services and revisions as v2 prints them; v1 is made from that (`knative`)."""

from __future__ import annotations

import uuid

from testbed.api.calls.clock import timestamp
from testbed.api.services.run import state
from testbed.api.services.run.state import FAILED, SUCCEEDED, ConditionState
from testbed.api.services.run.template import completed
from testbed.api.services.run.validation import RESERVED
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.json_object import Json
from testbed.model.serverless.run import LATEST, REVISION
from testbed.model.serverless.workload import run_host

_SPACE = uuid.UUID("6f1d3c0e-54a5-4b52-9a8e-5d9f6a1c7e02")


def service(plane: ControlPlane, record: Record, *, public: bool = True) -> Json:
    """A service; `public` leaves out the labels and annotations that v2 has fields for."""
    known = state.revisions(plane, record)
    ready, serves = state.latest_ready(known), state.serving(record, known)
    body = shown(record.body, public=public)
    now = state.of_service(plane, record)
    uri = f"https://{run_host(record.name)}"
    traffic = body.get("traffic") or [{"type": LATEST, "percent": 100}]
    template = completed(body["template"], record.name, cpu=public)
    if spelled := record.facts.get("access"):
        template["vpcAccess"] = {**template["vpcAccess"], **spelled}
    result = {
        "ingress": "INGRESS_TRAFFIC_ALL",
        "launchStage": "GA",
        **body,
        **identity(plane, record),
        "template": shown(template, public=public),
        "traffic": traffic,
        "trafficStatuses": [_status(target) for target in traffic] if serves else [],
        "terminalCondition": condition("Ready", now, revision_failed=True),
        "conditions": [condition("RoutesReady", now), condition("ConfigurationsReady", now)],
        "latestCreatedRevision": known[-1].name,
        "uri": uri,
        "urls": [uri],
    }
    if ready:
        result["latestReadyRevision"] = ready.name
    if now.state == state.RECONCILING:
        result["reconciling"] = True
    return result


def revision(plane: ControlPlane, record: Record, *, public: bool = True) -> Json:
    """A revision."""
    body = completed(shown(record.body, public=public), record.name, cpu=public)
    now = state.of_revision(record)
    above = record.name.rpartition("/revisions/")[0]
    conditions = [
        condition(kind, now) for kind in ("Ready", "ContainerHealthy", "ContainerReady", "ResourcesAvailable")
    ]
    owner = plane.find("run.services", above)
    active = owner is not None and _is(state.serving(owner, state.revisions(plane, owner)), record)
    retired = {"state": SUCCEEDED} if active else {"state": FAILED, "revisionReason": "RETIRED"}
    conditions.append({"type": "Active", "severity": "INFO", "lastTransitionTime": timestamp(now.since), **retired})
    body.pop("healthCheckDisabled", None)  # v2 has it in templates only
    return {
        **body,
        **identity(plane, record),
        "service": above.rpartition("/")[2],
        "conditions": conditions,
        "launchStage": "GA",
    }


def identity(plane: ControlPlane, record: Record) -> Json:
    """What every resource of Cloud Run is told by."""
    result: Json = {
        "name": record.name,
        "uid": uid(plane, record),
        "generation": str(record.generation),
        "observedGeneration": str(record.generation),
        "createTime": timestamp(record.created),
        "updateTime": timestamp(record.updated),
        "etag": etag(plane, record),
    }
    for field in ("creator", "lastModifier"):
        if value := record.facts.get(field):
            result[field] = value
    return result


def uid(plane: ControlPlane, record: Record) -> str:
    """A UUID that no other resource ever has."""
    return str(uuid.uuid5(_SPACE, f"{plane.store.id}/{record.kind}/{record.name}/{record.number}"))


def etag(plane: ControlPlane, record: Record) -> str:
    """What changes with every change of a resource that was asked for; v1 calls it `resourceVersion`."""
    return uuid.uuid5(_SPACE, f"{uid(plane, record)}/{record.generation}").hex[:22]


def condition(kind: str, now: ConditionState, *, revision_failed: bool = False) -> Json:
    """A condition of v2."""
    result: Json = {"type": kind, "state": now.state, "lastTransitionTime": timestamp(now.since)}
    if now.message:
        result["message"] = now.message
    if now.state == FAILED:
        if revision_failed:
            result["reason"] = "REVISION_FAILED"
        elif now.reason == "HEALTH_CHECK_CONTAINER_ERROR":
            result["revisionReason"] = now.reason
        elif now.reason:
            result["reason"] = now.reason
    return result


def _status(target: Json) -> Json:
    """Which revision gets how much."""
    result: Json = {key: target[key] for key in ("type", "percent") if key in target}
    if target.get("type") == REVISION:
        result["revision"] = target["revision"]
    return result


def shown(body: Json, *, public: bool) -> Json:
    """A message, if it is for the public, without the labels and annotations that v2 refuses."""
    result = dict(body)
    if not public:
        return result
    for field in ("labels", "annotations"):
        if field in result:
            kept = {key: value for key, value in result[field].items() if key.partition("/")[0] not in RESERVED}
            result[field] = kept
            if not kept:
                del result[field]
    return result


def _is(one: Record | None, other: Record) -> bool:
    return one is not None and one.name == other.name
