"""Cloud Functions v2: functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from testbed.model.base import ConnectorRef, Constant, Folder, Named, Resource
from testbed.model.vpcaccess import EgressSetting


class BuildConfig(Resource):
    """What is run: `entryPoint` of the Python module `main` in a local source folder."""

    runtime: str = Field(default="python311", pattern=r"^python3\d+$")
    """Only Python runtimes in this version; the version is that of the image `testbed/runtime`."""
    entry_point: str = Field(pattern=r"^[A-Za-z_]\w*$")
    source: Folder


class ServiceConfig(Resource):
    """How it is run."""

    gcloud: ClassVar = {"egress-settings": "vpcConnectorEgressSettings"}
    not_built: ClassVar = {
        "directVpcNetworkInterface": "the testbed has no Direct VPC egress; use a connector",
        "directVpcEgress": "the testbed has no Direct VPC egress; use a connector",
        "secretEnvironmentVariables": "write sm://PROJECT/SECRET as the value of an environment variable instead",
        "secretVolumes": "the testbed mounts no secrets; sm://PROJECT/SECRET is an environment variable's payload",
    }

    environment_variables: Mapping[str, str] = {}
    vpc_connector: ConnectorRef | None = None
    vpc_connector_egress_settings: EgressSetting = "PRIVATE_RANGES_ONLY"
    min_instance_count: int = Field(default=0, ge=0, le=20)
    ingress_settings: Annotated[Literal["ALLOW_ALL"], Constant] = "ALLOW_ALL"


class Function(Named):
    """A function; it runs on Google's functions-framework."""

    collection: ClassVar[str] = "locations/-/functions"
    not_built: ClassVar = {"eventTrigger": "the testbed has no events; a function is called by HTTP"}

    build_config: BuildConfig
    service_config: ServiceConfig = ServiceConfig()
