"""One view of everything that runs user code without a server of its own: services, functions, App Engine versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from testbed.model.core.projects import app_engine_account, compute_account, project_number
from testbed.model.core.resource import last, segment
from testbed.model.serverless.appengine import AppEngineService, Application, Version
from testbed.model.serverless.connector import Egress
from testbed.model.serverless.direct_egress import Direct, DirectInterface
from testbed.model.serverless.functions import Function
from testbed.model.serverless.ingress import FORBIDDEN, NOT_FOUND, is_open
from testbed.model.serverless.run import DEFAULT_PORT, Execution, Revision, Service
from testbed.paths import EXAMPLES

WorkloadKind = Literal["cloud-run", "cloud-run-job", "cloud-function", "app-engine-standard", "app-engine-flexible"]
RUNTIME_IMAGE = "testbed/runtime"
HELLO_IMAGES = frozenset({"us-docker.pkg.dev/cloudrun/container/hello", "gcr.io/cloudrun/hello"})
"""Google's sample containers, which its walkthroughs deploy: here they are the example of this project (our choice)."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A revision to run, whatever the product it was deployed with."""

    name: str
    """The resource name."""
    id: str
    """The short name by which the command line and the container know it."""
    kind: WorkloadKind
    region: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    source: str | None
    connector: str | None
    egress: Egress
    instances: int
    host: str
    """The host name at which the front end serves it."""
    path: str
    """The path below which it is served, without a trailing slash."""
    account: str
    """The service account that it runs as."""
    refused: int | None = None
    """The status that callers from the internet get, if its ingress is internal."""
    port: int = DEFAULT_PORT
    entrypoint: tuple[str, ...] = ()
    """Replaces the image's entry point where it is not empty."""
    direct: Direct | None = None
    """Where its instances have their addresses, if it has Direct VPC egress; then it has no connector."""


def _place(interfaces: Sequence[DirectInterface], region: str) -> Direct | None:
    return interfaces[0].place(region) if interfaces else None


def _account(given: str | None, name: str) -> str:
    """The account that Cloud Run runs a resource as."""
    return given or compute_account(segment(name, "projects"))


def is_hello(image: str) -> bool:
    """Whether an image is one of Google's sample containers."""
    return image.removesuffix(":latest") in HELLO_IMAGES


def run_host(service: str) -> str:
    """The host name of a Cloud Run service (its deterministic URL), by its full name."""
    number = project_number(segment(service, "projects"))
    return f"{last(service)}-{number}.{segment(service, 'locations')}.run.app"


def from_service(service: Service, revision: Revision | None) -> Workload:
    """The workload of a Cloud Run service, of which a revision serves."""
    template = revision or service.template
    container = template.containers[0]
    hello = is_hello(container.image)
    source = service.build_config.source_location if service.build_config else None
    minimum = max(template.scaling.min_instance_count, service.scaling.min_instance_count, 1)
    return Workload(
        name=service.full_name,
        id=service.id,
        kind="cloud-run",
        region=service.region,
        image=RUNTIME_IMAGE if hello else container.image,
        entrypoint=container.command,
        command=container.args,
        environment={
            "K_SERVICE": service.id,
            "K_REVISION": revision.id if revision else f"{service.id}-00001",
            "K_CONFIGURATION": service.id,
            **{variable.name: variable.value for variable in container.env},
        },
        source=str(EXAMPLES / "relay") if hello and source is None else source,
        connector=template.vpc_access.connector,
        direct=_place(template.vpc_access.network_interfaces, service.region),
        egress=template.vpc_access.egress,
        instances=service.scaling.manual_instance_count or minimum,
        host=run_host(service.name),
        path="",
        account=_account(template.service_account, service.name),
        refused=None if is_open(service.ingress) else NOT_FOUND,
        port=container.ports[0].container_port if container.ports else DEFAULT_PORT,
    )


def from_execution(execution: Execution) -> Workload:
    """The containers of an execution's tasks.  They wait until they are wired: then the tasks' commands are run."""
    container = execution.template.containers[0]
    hello = is_hello(container.image)
    return Workload(
        name=execution.full_name,
        id=execution.id,
        kind="cloud-run-job",
        region=execution.region,
        image=RUNTIME_IMAGE if hello else container.image,
        entrypoint=("sleep",),
        command=("infinity",),
        environment={
            "CLOUD_RUN_JOB": execution.job,
            "CLOUD_RUN_EXECUTION": execution.id,
            "CLOUD_RUN_TASK_COUNT": str(execution.task_count),
            **{variable.name: variable.value for variable in container.env},
        },
        source=str(EXAMPLES / "relay") if hello else None,
        connector=execution.template.vpc_access.connector,
        direct=_place(execution.template.vpc_access.network_interfaces, execution.region),
        egress=execution.template.vpc_access.egress,
        instances=execution.task_count,
        host="",
        path="",
        account=_account(execution.template.service_account, execution.name),
    )


def from_function(function: Function) -> Workload:
    """The workload of a function."""
    config, build = function.service_config, function.build_config
    project, first = segment(function.name, "projects"), function.environment == "GEN_1"
    return Workload(
        name=function.full_name,
        id=function.id,
        kind="cloud-function",
        region=function.region,
        image=RUNTIME_IMAGE,
        command=("functions-framework", "--target", build.entry_point, "--source", "main.py"),
        environment={
            "K_SERVICE": function.id,
            "K_REVISION": f"{function.id}-00001",
            "FUNCTION_TARGET": build.entry_point,
            **config.environment_variables,
        },
        source=build.source,
        connector=config.vpc_connector,
        egress=config.egress,
        direct=_place(config.direct_vpc_network_interface, function.region),
        instances=max(1, config.min_instance_count),
        host=f"{function.region}-{project}.cloudfunctions.net",
        path=f"/{function.id}",
        account=config.service_account_email or (app_engine_account(project) if first else compute_account(project)),
        refused=None if is_open(config.ingress_settings) else FORBIDDEN if first else NOT_FOUND,
    )


def from_version(version: Version, application: Application, service: AppEngineService | None) -> Workload:
    """The workload of an App Engine version."""
    access, direct, deployed = version.vpc_access_connector, version.vpc_access, version.deployment
    settings = {access.egress_setting if access else None, direct.vpc_egress if direct else None}
    prefix = "" if version.service == "default" else f"{version.service}-dot-"
    return Workload(
        name=version.full_name,
        id=version.service if version.service != "default" else application.id,
        kind="app-engine-standard" if version.env == "standard" else "app-engine-flexible",
        region=application.region,
        image=deployed.container.image if deployed.container else RUNTIME_IMAGE,
        command=() if deployed.container else ("/bin/sh", "-c", f"exec {version.entrypoint.shell}"),
        environment={
            "GAE_ENV": version.env,
            "GAE_SERVICE": version.service,
            "GAE_VERSION": version.id,
            **version.env_variables,
        },
        source=deployed.zip.source_url if deployed.zip else None,
        connector=access.name if access else None,
        egress="ALL_TRAFFIC" if "ALL_TRAFFIC" in settings else "PRIVATE_RANGES_ONLY",
        direct=_place(direct.network_interfaces if direct else (), application.region),
        instances=version.instances,
        host=f"{prefix}{application.id}.appspot.com",
        path="",
        account=version.service_account or app_engine_account(application.id),
        refused=None if service is None or service.is_open else FORBIDDEN,
    )
