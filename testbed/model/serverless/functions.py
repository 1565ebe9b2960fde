"""Cloud Functions v2: functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from testbed.model.core.resource import Account, ConnectorRef, Enumerated, Folder, NamedResource, Resource
from testbed.model.serverless.connector import Egress, EgressSetting
from testbed.model.serverless.direct_egress import DirectInterface
from testbed.model.serverless.ingress import FunctionIngress


class FunctionBuildConfig(Resource):
    """What is run: `entryPoint` of the Python module `main` in a local source folder."""

    runtime: str = Field(default="python311", pattern=r"^python3\d+$")
    """Only Python runtimes in this version; the version is that of the image `testbed/runtime`."""
    entry_point: str = Field(pattern=r"^[A-Za-z_]\w*$")
    source: Folder


_PRIVATE, _ALL = "VPC_EGRESS_PRIVATE_RANGES_ONLY", "VPC_EGRESS_ALL_TRAFFIC"
DirectEgress = Annotated[
    Literal["VPC_EGRESS_PRIVATE_RANGES_ONLY", "VPC_EGRESS_ALL_TRAFFIC"],
    Enumerated({"PRIVATE_RANGES_ONLY": _PRIVATE, "ALL": _ALL, "ALL_TRAFFIC": _ALL}),
]


class ServiceConfig(Resource):
    """How it is run."""

    gcloud: ClassVar = {"egress-settings": "vpcConnectorEgressSettings"}
    not_built: ClassVar = {
        "secretEnvironmentVariables": "write sm://PROJECT/SECRET as the value of an environment variable instead",
        "secretVolumes": "the testbed mounts no secrets; sm://PROJECT/SECRET is an environment variable's payload",
    }

    environment_variables: Mapping[str, str] = {}
    vpc_connector: ConnectorRef | None = None
    vpc_connector_egress_settings: EgressSetting = "PRIVATE_RANGES_ONLY"
    direct_vpc_network_interface: tuple[DirectInterface, ...] = Field(default=(), max_length=1)
    direct_vpc_egress: DirectEgress = "VPC_EGRESS_PRIVATE_RANGES_ONLY"
    """The default is the API's; a page of Google's documentation says that it is the other (behaviour 3.1)."""
    min_instance_count: int = Field(default=0, ge=0, le=20)
    service_account_email: Account | None = None
    """As whom it runs; None: as the default account of its generation."""
    ingress_settings: FunctionIngress = "ALLOW_ALL"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.vpc_connector and self.direct_vpc_network_interface:  # behaviour 1.12.4
            raise ValueError("directVpcNetworkInterface and vpcConnector are mutually exclusive")
        return self

    @property
    def egress(self) -> Egress:
        """The egress setting of whatever way into a network there is."""
        if not self.direct_vpc_network_interface:
            return self.vpc_connector_egress_settings
        return "ALL_TRAFFIC" if self.direct_vpc_egress == _ALL else "PRIVATE_RANGES_ONLY"


class Function(NamedResource):
    """A function; it runs on Google's functions-framework."""

    collection: ClassVar[str] = "locations/-/functions"
    not_built: ClassVar = {"eventTrigger": "the testbed has no events; a function is called by HTTP"}

    environment: Literal["GEN_1", "GEN_2"] = "GEN_2"
    """Its generation; to the testbed, only their default service accounts differ."""
    build_config: FunctionBuildConfig
    service_config: ServiceConfig = ServiceConfig()
