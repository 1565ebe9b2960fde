"""App Engine: versions in the standard and in the flexible environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from testbed.errors import GoogleText
from testbed.model.compute.instance import Tag
from testbed.model.core.resource import (
    Account,
    ComputeName,
    ConnectorRef,
    Constant,
    Enumerated,
    Folder,
    NetworkRef,
    Resource,
    SubnetworkRef,
    last,
    segment,
)
from testbed.model.serverless.direct_egress import DirectInterface, SubnetworkOfInterface
from testbed.model.serverless.ingress import AppIngress, is_open

LEGACY_LOCATIONS = {"us-central": "us-central1", "europe-west": "europe-west1"}
"""App Engine's names of two regions (behaviour 1.12.1)."""

NO_NETWORK = GoogleText(
    "Network parameter is not supported in App Engine Standard. Please, use vpc_access_connector instead."
)


_ID = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""Ids of applications, services and versions (appengine v1: "only lowercase letters, numbers, or hyphens")."""


class Application(Resource):
    """The one App Engine application of a project."""

    id: ComputeName
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


class VpcNetworkInterface(DirectInterface):
    """App Engine's network interface: its subnetwork is called `subnet` (behaviour 3.1)."""

    gcloud: ClassVar = {"network-tags": "tags"}

    subnetwork: SubnetworkOfInterface | None = Field(default=None, alias="subnet")


class DirectVpcAccess(Resource):
    """App Engine's Direct VPC egress (behaviour 3.1)."""

    network_interfaces: tuple[VpcNetworkInterface, ...] = Field(min_length=1, max_length=1)
    vpc_egress: Annotated[
        Literal["PRIVATE_IP_RANGES", "ALL_TRAFFIC"], Enumerated({"PRIVATE_RANGES_ONLY": "PRIVATE_IP_RANGES"})
    ] = "PRIVATE_IP_RANGES"


class Zip(Resource):
    """The deployed source: here a local folder."""

    source_url: Folder


class AppEngineContainer(Resource):
    """A container image."""

    image: str


class Deployment(Resource):
    """What is deployed: a source, or (in the flexible environment) an image."""

    zip: Zip | None = None
    container: AppEngineContainer | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.zip is None) == (self.container is None):
            raise ValueError("a version must have either a source (zip) or a container image")
        return self


class Entrypoint(Resource):
    """The command that starts the app; it listens on $PORT."""

    shell: str = "gunicorn --bind :$PORT main:app"


class ManualScaling(Resource):
    """A fixed number of instances."""

    instances: int = Field(default=1, ge=1, le=20)


class StandardSchedulerSettings(Resource):
    """Automatic scaling in the standard environment."""

    min_instances: int = Field(default=0, ge=0, le=20)


class AutomaticScaling(Resource):
    """Automatic scaling: the testbed runs the minimum, and at least one instance."""

    min_total_instances: int = Field(default=0, ge=0, le=20)
    standard_scheduler_settings: StandardSchedulerSettings = StandardSchedulerSettings()


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
    name: str = Field(pattern=rf"^apps/{_ID}/services/{_ID}/versions/{_ID}$")
    env: Annotated[
        Literal["standard", "flexible"], BeforeValidator(_environment, Literal["standard", "flexible", "flex"])
    ] = "standard"
    runtime: str = Field(default="python311", pattern=r"^(python(3\d*)?|custom)$")
    entrypoint: Entrypoint = Entrypoint()
    deployment: Deployment
    env_variables: Mapping[str, str] = {}
    service_account: Account | None = None
    """As whom it runs; None: as the project's App Engine account."""
    vpc_access_connector: VpcAccessConnector | None = None
    vpc_access: DirectVpcAccess | None = None
    network: FlexibleNetwork | None = None
    serving_status: Annotated[Literal["SERVING", "STOPPED"], Constant] = "SERVING"
    manual_scaling: ManualScaling | None = None
    automatic_scaling: AutomaticScaling = AutomaticScaling()

    @model_validator(mode="after")
    def _network_by_environment(self) -> Self:
        ways = [way for way in (self.vpc_access_connector, self.vpc_access) if way is not None]
        if self.env == "flexible" and (ways or self.network is None):
            raise ValueError(
                "a flexible version has a network, but neither vpcAccessConnector nor vpcAccess"
            )  # behaviour 3.6
        if self.env == "standard" and self.network is not None:
            raise ValueError(NO_NETWORK)
        if len(ways) > 1:  # behaviour 1.12.4
            raise ValueError("vpcAccess and vpcAccessConnector are mutually exclusive")
        return self

    @model_validator(mode="after")
    def _image_by_environment(self) -> Self:
        image = self.deployment.container is not None
        if image and self.env == "standard":
            raise ValueError("container images run in the flexible environment only")
        if self.env == "flexible" and self.manual_scaling is not None and self.manual_scaling.instances > 1:
            raise ValueError("the testbed runs one instance of a version in the flexible environment")
        if self.runtime == "custom" and not image:
            raise ValueError("a custom runtime needs a container image (deployment.container): the testbed builds none")
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

    @property
    def instances(self) -> int:
        """How many instances run; of a flexible version it is one (our choice)."""
        if self.env == "flexible":
            return 1
        if self.manual_scaling is not None:
            return self.manual_scaling.instances
        scaling = self.automatic_scaling
        return max(1, scaling.min_total_instances, scaling.standard_scheduler_settings.min_instances)


class TrafficSplit(Resource):
    """Which versions get which part of a service's traffic."""

    allocations: Mapping[str, float]

    @model_validator(mode="after")
    def _one_gets_all(self) -> Self:
        if [share for share in self.allocations.values() if share] != [1.0]:
            raise ValueError("the testbed does not split traffic: one version gets all of it (1.0)")
        return self


class NetworkSettings(Resource):
    """From where a service can be called."""

    gcloud: ClassVar = {"ingress": "ingressTrafficAllowed"}

    ingress_traffic_allowed: AppIngress = "INGRESS_TRAFFIC_ALLOWED_ALL"


class AppEngineService(Resource):
    """A service of the application."""

    name: str = Field(pattern=rf"^apps/{_ID}/services/{_ID}$")
    split: TrafficSplit
    network_settings: NetworkSettings = NetworkSettings()

    @property
    def full_name(self) -> str:
        """The resource name."""
        return self.name

    @property
    def serving(self) -> str:
        """The full name of the version that gets the traffic."""
        version = next(name for name, share in self.split.allocations.items() if share)
        return f"{self.name}/versions/{version}"

    @property
    def is_open(self) -> bool:
        """Whether the internet may call it."""
        return is_open(self.network_settings.ingress_traffic_allowed)
