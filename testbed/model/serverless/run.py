"""Cloud Run v2: services and their revisions, and the executions of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from testbed.errors import GoogleText
from testbed.model.core.resource import Account, Enumerated, Folder, NamedResource, Resource
from testbed.model.serverless.connector import RunVpcAccess
from testbed.model.serverless.ingress import RunIngress

DEFAULT_PORT = 8080
"""The port that a container listens on unless the service says otherwise; it is told by $PORT."""


class EnvVar(Resource):
    """An environment variable.  A value `sm://PROJECT/SECRET` is the secret's payload, as in Berglas."""

    name: str
    value: str = ""


class ContainerPort(Resource):
    """The port that the container listens on."""

    container_port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    name: Literal["http1"] = "http1"


class Container(Resource):
    """The one container of a revision."""

    image: str = "testbed/runtime"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = Field(default=(), max_length=1)


class RevisionScaling(Resource):
    """How many container instances there are.  The testbed runs `minInstanceCount` of them, and at least one."""

    min_instance_count: int = Field(default=0, ge=0, le=20)
    max_instance_count: int = Field(default=100, ge=1)


class TaskTemplate(Resource):
    """What a task is made from."""

    containers: tuple[Container, ...] = Field(min_length=1, max_length=1)
    vpc_access: RunVpcAccess = RunVpcAccess()
    service_account: Account | None = None


class RevisionTemplate(TaskTemplate):
    """What a revision is made from."""

    scaling: RevisionScaling = RevisionScaling()


class BuildConfig(Resource):
    """A deployment from source: here a local folder that is copied to the container's /workspace."""

    source_location: Folder


class ServiceScaling(Resource):
    """How many container instances there are, whichever revision serves."""

    min_instance_count: int = Field(default=0, ge=0, le=20)
    manual_instance_count: int = Field(default=0, ge=0, le=20)


_ALLOCATION = "TRAFFIC_TARGET_ALLOCATION_TYPE"
LATEST = f"{_ALLOCATION}_LATEST"
REVISION = f"{_ALLOCATION}_REVISION"


class TrafficTarget(Resource):
    """The revision that serves: the latest one that is ready, or a named one."""

    type: Annotated[
        Literal["TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"],
        Enumerated({"LATEST": LATEST, "REVISION": REVISION}),
    ] = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    revision: str | None = None
    """The short name."""
    percent: int = Field(default=0, ge=0, le=100)


class Service(NamedResource):
    """A Cloud Run service."""

    collection: ClassVar[str] = "locations/-/services"

    template: RevisionTemplate
    build_config: BuildConfig | None = None
    ingress: RunIngress = "INGRESS_TRAFFIC_ALL"
    scaling: ServiceScaling = ServiceScaling()
    traffic: tuple[TrafficTarget, ...] = ()

    @model_validator(mode="after")
    def _one_revision_serves(self) -> Self:
        shares = [target.percent for target in self.traffic if target.percent]
        if self.traffic and sum(shares) != 100:
            raise ValueError(GoogleText(f"Traffic targets must sum to 100, got {sum(shares)}."))
        if len(shares) > 1:
            raise ValueError("the testbed does not split traffic yet: one revision must get 100 percent")
        return self

    @property
    def pinned(self) -> str | None:
        """The full name of the revision that serves, if it is not the latest."""
        named = (t.revision for t in self.traffic if t.percent and t.type == REVISION)
        return next((f"{self.name}/revisions/{revision}" for revision in named), None)


class Revision(NamedResource, RevisionTemplate):
    """A revision: what a service's template was when it was deployed."""

    collection: ClassVar[str] = "locations/-/services/-/revisions"

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.name.rpartition("/revisions/")[0]


def serving(service: Service, revisions: Iterable[Revision]) -> Revision | None:
    """The revision that serves; None if the service's own template does, because no revision was recorded."""
    mine = [revision for revision in revisions if revision.service == service.name]
    if service.pinned:
        return next((revision for revision in mine if revision.name == service.pinned), None)
    return mine[-1] if mine else None


class Execution(NamedResource):
    """An execution of a job.  Its containers are there as long as its tasks run."""

    collection: ClassVar[str] = "locations/-/jobs/-/executions"

    task_count: int = Field(default=1, ge=1, le=20)
    template: TaskTemplate

    @property
    def job(self) -> str:
        """The short name of its job."""
        return self.name.split("/")[-3]
