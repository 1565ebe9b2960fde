"""Cloud Run v2: services."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from testbed.model.base import Constant, Folder, Named, Resource
from testbed.model.vpcaccess import VpcAccess

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


class RevisionTemplate(Resource):
    """What a revision is made from."""

    containers: tuple[Container, ...] = Field(min_length=1, max_length=1)
    vpc_access: VpcAccess = VpcAccess()
    scaling: RevisionScaling = RevisionScaling()
    service_account: str | None = None


class BuildConfig(Resource):
    """A deployment from source: here a local folder that is copied to the container's /workspace."""

    source_location: Folder


class Service(Named):
    """A Cloud Run service."""

    collection: ClassVar[str] = "locations/-/services"

    template: RevisionTemplate
    build_config: BuildConfig | None = None
    ingress: Annotated[Literal["INGRESS_TRAFFIC_ALL"], Constant] = "INGRESS_TRAFFIC_ALL"
