"""Services and revisions as v1 prints them: Knative's envelope around what v2 would print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from testbed.api.services.run import knative, state, view
from testbed.api.services.run.knative import LOCATION, RUN
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.json_object import Json
from testbed.model.core.projects import project_number
from testbed.model.core.resource import segment
from testbed.model.serverless.run import REVISION

SERVING, JOBS = "serving.knative.dev/v1", "run.googleapis.com/v1"
_STATES = {state.SUCCEEDED: "True", state.FAILED: "False", state.RECONCILING: "Unknown"}


def service(plane: ControlPlane, record: Record) -> Json:
    """A service."""
    shown = view.service(plane, record, public=False)
    translated = knative.service_from_v2(shown)
    ingress = translated["metadata"]["annotations"][f"{RUN}ingress"]
    annotations = {f"{RUN}ingress-status": ingress, f"{RUN}urls": json.dumps(shown["urls"])}
    metadata = metadata_of(plane, record, "services", translated["metadata"], annotations)
    ready = condition(shown["terminalCondition"])
    others = [condition(one) for one in shown["conditions"]]
    known = state.revisions(plane, record)
    latest = state.latest_ready(known)
    status: Json = {
        "conditions": [ready, *others],
        "observedGeneration": record.generation,
        "latestCreatedRevisionName": known[-1].id,
        "url": shown["uri"],
        "address": {"url": shown["uri"]},
    }
    if latest:
        status["latestReadyRevisionName"] = latest.id
        status["traffic"] = [_served(target, latest.id) for target in shown["trafficStatuses"]]
    return envelope("Service", SERVING, metadata, translated["spec"], status)


def configuration(plane: ControlPlane, record: Record) -> Json:
    """A service's configuration: what its revisions are made from."""
    whole = service(plane, record)
    metadata = {
        **whole["metadata"],
        "selfLink": whole["metadata"]["selfLink"].replace("/services/", "/configurations/"),
    }
    kept = ("observedGeneration", "latestCreatedRevisionName", "latestReadyRevisionName")
    status = {key: whole["status"][key] for key in kept if key in whole["status"]}
    status["conditions"] = [one for one in whole["status"]["conditions"] if one["type"] == "Ready"]
    return envelope("Configuration", SERVING, metadata, {"template": whole["spec"]["template"]}, status)


def route(plane: ControlPlane, record: Record) -> Json:
    """A service's route: which revisions get its traffic."""
    whole = service(plane, record)
    metadata = {**whole["metadata"], "selfLink": whole["metadata"]["selfLink"].replace("/services/", "/routes/")}
    kept = ("observedGeneration", "url", "address", "traffic")
    status = {key: whole["status"][key] for key in kept if key in whole["status"]}
    status["conditions"] = [one for one in whole["status"]["conditions"] if one["type"] == "Ready"]
    return envelope("Route", SERVING, metadata, {"traffic": whole["spec"].get("traffic", [])}, status)


def revision(plane: ControlPlane, record: Record) -> Json:
    """A revision."""
    shown = view.revision(plane, record, public=False)
    translated = knative.template_from_v2(shown)
    owner = segment(record.name, "services")
    given = translated["metadata"]
    labels = {
        **given["labels"],
        "serving.knative.dev/service": owner,
        "serving.knative.dev/configuration": owner,
        "serving.knative.dev/route": owner,
    }
    metadata = metadata_of(plane, record, "revisions", {**given, "labels": labels}, {})
    status = {"conditions": [condition(one) for one in shown["conditions"]], "observedGeneration": record.generation}
    return envelope("Revision", SERVING, metadata, translated["spec"], status)


def condition(given: Json) -> Json:
    """A condition of v2 in the words of v1: `CONTAINER_MISSING` is `ContainerMissing`."""
    result = {
        "type": given["type"],
        "status": _STATES[given["state"]],
        "lastTransitionTime": given["lastTransitionTime"],
    }
    if reason := given.get("reason") or given.get("revisionReason") or given.get("executionReason"):
        result["reason"] = "".join(word.capitalize() for word in reason.split("_"))
    if message := given.get("message"):
        result["message"] = message
    if severity := given.get("severity"):
        result["severity"] = severity.capitalize()
    return result


def listed(kind: str, version: str, items: Iterable[Json]) -> Json:
    """A list; what there is fits into one answer."""
    return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": list(items)}


def selected(items: Iterable[Json], selector: str) -> Iterator[Json]:
    """The items whose labels a selector fits: `a = b, c in (d,e)`."""
    wanted = list(_terms(selector))
    for item in items:
        labels = item["metadata"]["labels"]
        if all(labels.get(key) in values for key, values in wanted):
            yield item


def _terms(selector: str) -> Iterator[tuple[str, set[str]]]:
    rest = selector.strip()
    while rest:
        if " in " in rest.partition(",")[0]:
            key, _, rest = rest.partition(" in ")
            values, _, rest = rest.partition(")")
            yield key.strip(), {value.strip() for value in values.strip().removeprefix("(").split(",")}
        else:
            term, _, rest = rest.partition(",")
            key, _, value = term.replace("==", "=").partition("=")
            yield key.strip(), {value.strip()}
            continue
        rest = rest.lstrip(", ")


def envelope(kind: str, version: str, metadata: Json, spec: Json, status: Json) -> Json:
    """A resource of v1."""
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}


def metadata_of(
    plane: ControlPlane, record: Record, collection: str, given: Json, annotations: Json, *, version: str = SERVING
) -> Json:
    """The metadata of a resource; `given` are its own labels and annotations."""
    number = str(project_number(segment(record.name, "projects")))
    shown = view.identity(plane, record)
    group = version.partition("/")[0]
    people = {f"{group}/{field}": shown[field] for field in ("creator", "lastModifier") if field in shown}
    return {
        "name": record.id,
        "namespace": number,
        "selfLink": f"/apis/{version}/namespaces/{number}/{collection}/{record.id}",
        "uid": shown["uid"],
        "resourceVersion": shown["etag"],
        "generation": record.generation,
        "creationTimestamp": shown["createTime"],
        "labels": {**given["labels"], LOCATION: segment(record.name, "locations")},
        "annotations": {**given["annotations"], **people, **annotations},
    }


def _served(target: Json, latest: str) -> Json:
    if target.get("type") == REVISION:
        return {"revisionName": target["revision"], "percent": target["percent"]}
    return {"revisionName": latest, "latestRevision": True, "percent": target["percent"]}
