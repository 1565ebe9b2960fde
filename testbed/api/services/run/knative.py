"""Services, revisions and jobs between v2 and v1, whose messages are Knative's.  Pure, and without loss either way.

What v2 has fields for, v1 often has as annotations.  What only one of them can say is kept as it is: annotations that
v2 has no field for stay annotations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.errors import InvalidArgument
from testbed.json_object import Json
from testbed.model.serverless.run import LATEST, REVISION

RUN = "run.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a value of v2 is written as an annotation, and read back."""

    write: Callable[[Any], str] = str
    read: Callable[[str], Any] = str


def _words(**names: str) -> Spelling:
    """An enum: constant of v2 to word of v1."""
    constants = {word: constant for constant, word in names.items()}
    return Spelling(lambda value: names.get(value, value), lambda word: constants.get(word, word.upper()))


TEXT = Spelling()
NUMBER = Spelling(str, int)
FLAG = Spelling(lambda value: "true" if value else "false", lambda text: text.lower() == "true")
JSON = Spelling(lambda value: json.dumps(value, separators=(",", ":")), json.loads)
_INGRESS = _words(
    INGRESS_TRAFFIC_ALL="all",
    INGRESS_TRAFFIC_INTERNAL_ONLY="internal",
    INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER="internal-and-cloud-load-balancing",
)
_WAYS = _words(PRIVATE_RANGES_ONLY="private-ranges-only", ALL_TRAFFIC="all-traffic")
_EGRESS = Spelling(_WAYS.write, lambda word: _WAYS.read({"all": "all-traffic"}.get(word, word)))  # behaviour 3.1
_GENERATION = _words(EXECUTION_ENVIRONMENT_GEN1="gen1", EXECUTION_ENVIRONMENT_GEN2="gen2")

Table = Mapping[str, tuple[tuple[str, ...], Spelling]]
"""Annotations: their place in v2's message, and their spelling."""

SERVICE: Table = {
    f"{RUN}ingress": (("ingress",), _INGRESS),
    f"{RUN}launch-stage": (("launchStage",), TEXT),
    f"{RUN}client-name": (("client",), TEXT),
    f"{RUN}client-version": (("clientVersion",), TEXT),
    f"{RUN}description": (("description",), TEXT),
    f"{RUN}minScale": (("scaling", "minInstanceCount"), NUMBER),
    f"{RUN}maxScale": (("scaling", "maxInstanceCount"), NUMBER),
    f"{RUN}manualInstanceCount": (("scaling", "manualInstanceCount"), NUMBER),
    f"{RUN}scalingMode": (("scaling", "scalingMode"), _words(AUTOMATIC="automatic", MANUAL="manual")),
    f"{RUN}invoker-iam-disabled": (("invokerIamDisabled",), FLAG),
    f"{RUN}default-url-disabled": (("defaultUriDisabled",), FLAG),
    f"{RUN}iap-enabled": (("iapEnabled",), FLAG),
    f"{RUN}custom-audiences": (("customAudiences",), JSON),
    f"{RUN}build-source-location": (("buildConfig", "sourceLocation"), TEXT),
}
TEMPLATE: Table = {
    f"{RUN}client-name": (("client",), TEXT),
    f"{RUN}client-version": (("clientVersion",), TEXT),
    "autoscaling.knative.dev/minScale": (("scaling", "minInstanceCount"), NUMBER),
    "autoscaling.knative.dev/maxScale": (("scaling", "maxInstanceCount"), NUMBER),
    f"{RUN}vpc-access-connector": (("vpcAccess", "connector"), TEXT),
    f"{RUN}vpc-access-egress": (("vpcAccess", "egress"), _EGRESS),
    f"{RUN}network-interfaces": (("vpcAccess", "networkInterfaces"), JSON),
    f"{RUN}execution-environment": (("executionEnvironment",), _GENERATION),
    f"{RUN}sessionAffinity": (("sessionAffinity",), FLAG),
    f"{RUN}health-check-disabled": (("healthCheckDisabled",), FLAG),
    f"{RUN}encryption-key": (("encryptionKey",), TEXT),
}
CONTAINER: Table = {
    f"{RUN}cpu-throttling": (("resources", "cpuIdle"), FLAG),
    f"{RUN}startup-cpu-boost": (("resources", "startupCpuBoost"), FLAG),
}
"""Annotations of a template that are about its container."""
JOB: Table = {name: SERVICE[name] for name in (f"{RUN}launch-stage", f"{RUN}client-name", f"{RUN}client-version")}
EXECUTION: Table = {
    f"{RUN}client-name": (("client",), TEXT),
    f"{RUN}client-version": (("clientVersion",), TEXT),
    **{
        name: (("template", *TEMPLATE[name][0]), TEMPLATE[name][1])
        for name in (
            f"{RUN}vpc-access-connector",
            f"{RUN}vpc-access-egress",
            f"{RUN}network-interfaces",
            f"{RUN}execution-environment",
            f"{RUN}encryption-key",
        )
    },
}
"""Annotations of an execution's template; most are about its tasks."""
SERVERS = (
    "serving.knative.dev/creator",
    "serving.knative.dev/lastModifier",
    f"{RUN}creator",
    f"{RUN}lastModifier",
    f"{RUN}operation-id",
    f"{RUN}ingress-status",
    f"{RUN}urls",
)
"""Annotations that the server makes: they are passed over when a client sends them back."""
LOCATION = "cloud.googleapis.com/location"
UPDATED = f"{RUN}lastUpdatedTime"
_SPEC: Mapping[str, str] = {
    "containerConcurrency": "maxInstanceRequestConcurrency",
    "serviceAccountName": "serviceAccount",
}


# -- from v1 to v2 ------------------------------------------------------------------------------------------------


def service_to_v2(service: Json) -> Json:
    """The body of a v2 service that a v1 service asks for."""
    metadata, spec = service.get("metadata", {}), service.get("spec", {})
    result = _read(metadata, SERVICE)
    result["template"] = template_to_v2(spec.get("template", {}))
    if traffic := spec.get("traffic"):
        result["traffic"] = [_target_to_v2(target) for target in traffic]
    return result


def template_to_v2(template: Json) -> Json:
    """A revision's template."""
    metadata, spec = template.get("metadata", {}), template.get("spec", {})
    result = _read(metadata, {**TEMPLATE, **_of_container()})
    idle = result.pop("", {})
    if name := metadata.get("name"):
        result["revision"] = name
    result |= {new: spec[old] for old, new in _SPEC.items() if old in spec}
    result |= task_spec_to_v2(spec)
    for container in result.get("containers", [])[:1]:
        if flags := idle.get("resources"):
            container["resources"] = {**container.get("resources", {}), **flags}
    return result


def job_to_v2(job: Json) -> Json:
    """The body of a v2 job that a v1 job asks for."""
    return {
        **_read(job.get("metadata", {}), JOB),
        "template": execution_to_v2(job.get("spec", {}).get("template", {})),
    }


def execution_to_v2(template: Json) -> Json:
    """An execution's template."""
    spec = template.get("spec", {})
    result = _read(template.get("metadata", {}), EXECUTION)
    result |= {key: spec[key] for key in ("parallelism", "taskCount") if key in spec}
    tasks = spec.get("template", {}).get("spec", {})
    result["template"] = {**result.get("template", {}), **task_spec_to_v2(tasks)}
    if "maxRetries" in tasks:
        result["template"]["maxRetries"] = tasks["maxRetries"]
    return result


def task_spec_to_v2(spec: Json) -> Json:
    """What the specifications of revisions and tasks have in common."""
    result: Json = {}
    if "timeoutSeconds" in spec:
        result["timeout"] = f"{int(spec['timeoutSeconds'])}s"
    if "serviceAccountName" in spec:
        result["serviceAccount"] = spec["serviceAccountName"]
    if containers := spec.get("containers"):
        result["containers"] = [_container_to_v2(container) for container in containers]
    if volumes := spec.get("volumes"):
        result["volumes"] = [dict(volume) for volume in volumes]
    return result


def _container_to_v2(container: Json) -> Json:
    same = ("name", "image", "command", "args", "workingDir", "volumeMounts", "startupProbe", "livenessProbe")
    result = {key: container[key] for key in same if key in container}
    if env := container.get("env"):
        result["env"] = [_variable_to_v2(variable) for variable in env]
    if ports := container.get("ports"):
        result["ports"] = [{key: port[key] for key in ("name", "containerPort") if key in port} for port in ports]
    if limits := container.get("resources", {}).get("limits"):
        result["resources"] = {"limits": dict(limits)}
    return result


def _variable_to_v2(variable: Json) -> Json:
    secret = variable.get("valueFrom", {}).get("secretKeyRef")
    if secret is None:
        return {key: variable[key] for key in ("name", "value") if key in variable}
    reference = {"secret": secret.get("name", ""), "version": secret.get("key", "")}
    return {"name": variable.get("name", ""), "valueSource": {"secretKeyRef": reference}}


def _target_to_v2(target: Json) -> Json:
    result: Json = {key: target[key] for key in ("percent", "tag") if key in target}
    if target.get("latestRevision") or "revisionName" not in target:
        return {"type": LATEST, **result}
    return {"type": REVISION, "revision": target["revisionName"], **result}


# -- from v2 to v1 ------------------------------------------------------------------------------------------------


def service_from_v2(service: Json) -> Json:
    """Labels, annotations and specification of a v1 service."""
    spec: Json = {"template": template_from_v2(service["template"])}
    if traffic := service.get("traffic"):
        spec["traffic"] = [target_from_v2(target) for target in traffic]
    return {"metadata": _written(service, SERVICE), "spec": spec}


def template_from_v2(template: Json) -> Json:
    """A revision's template."""
    metadata = _written(template, TEMPLATE)
    containers = template.get("containers", [])
    if containers:
        flags = _written(containers[0], CONTAINER)["annotations"]
        metadata["annotations"] = {**metadata["annotations"], **flags}
    if name := template.get("revision"):
        metadata["name"] = name
    spec = {old: template[new] for old, new in _SPEC.items() if new in template}
    return {"metadata": metadata, "spec": {**spec, **task_spec_from_v2(template)}}


def job_from_v2(job: Json) -> Json:
    """Labels, annotations and specification of a v1 job."""
    return {"metadata": _written(job, JOB), "spec": {"template": execution_from_v2(job["template"])}}


def execution_from_v2(template: Json) -> Json:
    """An execution's template."""
    tasks = task_spec_from_v2(template["template"])
    if "timeoutSeconds" in tasks:
        tasks["timeoutSeconds"] = str(tasks["timeoutSeconds"])  # an int64 in v1's tasks
    if "maxRetries" in template["template"]:
        tasks["maxRetries"] = template["template"]["maxRetries"]
    spec = {key: template[key] for key in ("parallelism", "taskCount") if key in template}
    return {"metadata": _written(template, EXECUTION), "spec": {**spec, "template": {"spec": tasks}}}


def task_spec_from_v2(template: Json) -> Json:
    """What the specifications of revisions and tasks have in common."""
    result: Json = {}
    if "timeout" in template:
        result["timeoutSeconds"] = int(float(str(template["timeout"]).removesuffix("s")))
    if "serviceAccount" in template:
        result["serviceAccountName"] = template["serviceAccount"]
    if containers := template.get("containers"):
        result["containers"] = [_container_from_v2(container) for container in containers]
    if volumes := template.get("volumes"):
        result["volumes"] = [dict(volume) for volume in volumes]
    return result


def _container_from_v2(container: Json) -> Json:
    same = ("name", "image", "command", "args", "workingDir", "volumeMounts", "startupProbe", "livenessProbe", "ports")
    result = {key: container[key] for key in same if key in container}
    if env := container.get("env"):
        result["env"] = [_variable_from_v2(variable) for variable in env]
    if limits := container.get("resources", {}).get("limits"):
        result["resources"] = {"limits": dict(limits)}
    return result


def _variable_from_v2(variable: Json) -> Json:
    secret = variable.get("valueSource", {}).get("secretKeyRef")
    if secret is None:
        return {key: variable[key] for key in ("name", "value") if key in variable}
    reference = {"name": secret.get("secret", ""), "key": secret.get("version", "")}
    return {"name": variable.get("name", ""), "valueFrom": {"secretKeyRef": reference}}


def target_from_v2(target: Json) -> Json:
    """A traffic target."""
    result: Json = {key: target[key] for key in ("percent", "tag") if key in target}
    if target.get("type") == REVISION:
        return {"revisionName": target["revision"], **result}
    return {"latestRevision": True, **result}


# -- annotations --------------------------------------------------------------------------------------------------


def _of_container() -> Table:
    """The annotations of a container, kept apart under the empty name."""
    return {name: (("", *place), spelling) for name, (place, spelling) in CONTAINER.items()}


def _read(metadata: Json, table: Table) -> Json:
    """What metadata says, in the places that v2 has for it."""
    result: Json = {}
    kept: dict[str, str] = {}
    for name, text in metadata.get("annotations", {}).items():
        if name in table:
            place, spelling = table[name]
            _put(result, place, _value(spelling, name, text))
        elif name not in SERVERS:
            kept[name] = text
    if kept:
        result["annotations"] = kept
    if labels := {name: text for name, text in metadata.get("labels", {}).items() if name not in {LOCATION, UPDATED}}:
        result["labels"] = labels
    return result


def _value(spelling: Spelling, name: str, text: str) -> Any:
    try:
        return spelling.read(text)
    except ValueError:
        raise InvalidArgument(f"metadata.annotations[{name}]: Invalid value: {text}") from None


def _written(message: Json, table: Table) -> Json:
    """Labels and annotations of a message."""
    annotations = dict(message.get("annotations", {}))
    for name, (place, spelling) in table.items():
        value: Any = message
        for part in place:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            annotations[name] = spelling.write(value)
    return {"labels": dict(message.get("labels", {})), "annotations": annotations}


def _put(message: Json, place: tuple[str, ...], value: object) -> None:
    *way, end = place
    for part in way:
        message = message.setdefault(part, {})
    message[end] = value
