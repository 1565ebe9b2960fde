"""The templates of revisions and tasks: Google's defaults, and when two of them are the same."""

from __future__ import annotations

from testbed.control.realise.executions import DEFAULT_RETRIES, DEFAULT_TIMEOUT
from testbed.json_object import Json
from testbed.model.core.projects import compute_account
from testbed.model.core.resource import segment
from testbed.model.serverless.run import DEFAULT_PORT

PROBE_SECONDS = 240
"""How long Cloud Run waits for a container to listen, unless it is told otherwise."""


def completed(template: Json, name: str, *, cpu: bool = True) -> Json:
    """A revision's template with the defaults that Google fills in; `name` is that of a resource in its project.

    `cpu` says whether the two defaults about the CPU are filled in, which v1 has as annotations.
    """
    result: Json = {
        "timeout": "300s",
        "maxInstanceRequestConcurrency": 80,
        **with_account(template, name),
        "scaling": {"maxInstanceCount": 100, **template.get("scaling", {})},
        "containers": [_container(container, cpu=cpu) for container in template.get("containers", [])],
    }
    if access := template.get("vpcAccess"):
        result["vpcAccess"] = {"egress": "PRIVATE_RANGES_ONLY", **access}
    return result


def completed_execution(template: Json, name: str) -> Json:
    """The same for an execution's template."""
    return {"taskCount": 1, **template, "template": completed_task(template.get("template", {}), name)}


def completed_task(template: Json, name: str) -> Json:
    """The same for a task's."""
    result = {
        "maxRetries": DEFAULT_RETRIES,
        "timeout": DEFAULT_TIMEOUT,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        **with_account(template, name),
        "containers": [limited(container) for container in template.get("containers", [])],
    }
    if access := template.get("vpcAccess"):
        result["vpcAccess"] = {"egress": "PRIVATE_RANGES_ONLY", **access}
    return result


def with_account(template: Json, name: str) -> Json:
    """A template with the service account that runs it: by default, Compute Engine's."""
    return {"serviceAccount": compute_account(segment(name, "projects")), **template}


def limited(container: Json) -> Json:
    """A container with the default limits."""
    resources: Json = container.get("resources", {})
    limits = {"cpu": "1000m", "memory": "512Mi", **resources.get("limits", {})}
    return {**container, "resources": {**resources, "limits": limits}}


def _container(container: Json, *, cpu: bool) -> Json:
    """A container with the defaults.

    CPU only during requests, and a boost at the start, are defaults of a container that was given no resources: "if
    ResourceRequirements is set, the caller must explicitly set this field to true" (`cpuIdle`, Cloud Run v2).
    """
    ports = container.get("ports") or [{}]
    port = {"name": "http1", "containerPort": DEFAULT_PORT, **ports[0]}
    probe = {
        "timeoutSeconds": PROBE_SECONDS,
        "periodSeconds": PROBE_SECONDS,
        "failureThreshold": 1,
        "tcpSocket": {"port": port["containerPort"]},
    }
    filled = limited(container)
    if cpu and "resources" not in container:
        filled["resources"] = {**filled["resources"], "cpuIdle": True, "startupCpuBoost": True}
    return {"startupProbe": probe, **filled, "ports": [port]}


def same(one: Json, other: Json, name: str) -> bool:
    """Whether two templates make the same revision."""
    return _anonymous(completed(one, name, cpu=False)) == _anonymous(completed(other, name, cpu=False))


_NOT_OF_THE_REVISION = frozenset({"revision", "name", "client", "clientVersion"})


def _anonymous(template: Json) -> Json:
    return {key: value for key, value in template.items() if key not in _NOT_OF_THE_REVISION}
