"""App Engine: versions in the standard and in the flexible environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from testbed.model.base import (
    ConnectorRef,
    Constant,
    Folder,
    NetworkRef,
    Resource,
    SubnetworkRef,
    last,
    segment,
)
from testbed.model.compute import Tag

LEGACY_LOCATIONS = {"us-central": "us-central1", "europe-west": "europe-west1"}
"""App Engine's names of two regions (behaviour 1.12.1)."""


class Application(Resource):
    """The one App Engine application of a project."""

    id: str
    location_id: str

    @property
    def region(self) -> str:
        """The region that the location stands for."""
        return LEGACY_LOCATIONS.get(self.location_id, self.location_id)


class VpcAccessConnector(Resource):
    """App Engine's way to name a connector (behaviour 3.1)."""

    name: ConnectorRef
    egress_setting: Annotated[Literal["PRIVATE_IP_RANGES", "PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"], Constant] = (
        "PRIVATE_IP_RANGES"
    )


class Zip(Resource):
    """The deployed source: here a local folder."""

    source_url: Folder


class Deployment(Resource):
    """What is deployed."""

    zip: Zip


class Entrypoint(Resource):
    """The command that starts the app; it listens on $PORT."""

    shell: str = "gunicorn --bind :$PORT main:app"


class FlexibleNetwork(Resource):
    """Where the instances of a version in the flexible environment live: they need no connector (behaviour 3.6)."""

    name: NetworkRef
    subnetwork_name: SubnetworkRef
    instance_tag: Tag | None = None


def _environment(value: Any) -> Any:
    return "flexible" if value == "flex" else value  # as in app.yaml


class Version(Resource):
    """A version of a service of the application."""

    collection: ClassVar[str] = "versions"

    name: str = Field(pattern=r"^apps/[^/]+/services/[^/]+/versions/[^/]+$")
    env: Annotated[
        Literal["standard", "flexible"], BeforeValidator(_environment, Literal["standard", "flexible", "flex"])
    ] = "standard"
    runtime: str = Field(default="python311", pattern=r"^python(3\d*)?$")
    entrypoint: Entrypoint = Entrypoint()
    deployment: Deployment
    env_variables: Mapping[str, str] = {}
    vpc_access_connector: VpcAccessConnector | None = None
    network: FlexibleNetwork | None = None

    @model_validator(mode="after")
    def _network_by_environment(self) -> Self:
        if self.env == "flexible" and (self.vpc_access_connector is not None or self.network is None):
            raise ValueError("a flexible version has a network and no vpcAccessConnector (behaviour 3.6)")
        if self.env == "standard" and self.network is not None:
            raise ValueError("a standard version has no network; it reaches a VPC by vpcAccessConnector")
        return self

    @property
    def full_name(self) -> str:
        """The resource name."""
        return self.name

    @property
    def app(self) -> str:
        """The application's id."""
        return segment(self.name, "apps")

    @property
    def service(self) -> str:
        """The service's id."""
        return segment(self.name, "services")

    @property
    def id(self) -> str:
        """The version's id."""
        return last(self.name)
