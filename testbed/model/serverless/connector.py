"""Serverless VPC Access v1: the connector (behaviour chapter 1)."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from testbed.errors import GoogleText
from testbed.json_object import Json
from testbed.model.core.ranges import SubnetRange
from testbed.model.core.resource import (
    ConnectorRef,
    Defaults,
    Enumerated,
    NamedResource,
    NetworkRef,
    Resource,
    last,
    segment,
)
from testbed.model.serverless.capacity import Capacity, MachineType
from testbed.model.serverless.direct_egress import DirectInterface

CONNECTOR_ID = r"^[a-z][-a-z0-9]{0,23}[a-z0-9]$"
CONSOLE_LENGTH = 20
"""The console counts a hyphen twice and takes less than 21 characters (behaviour 1.5.2)."""

CONNECTOR_PREFIX = 28
DEFAULT_MACHINE_TYPE: MachineType = "e2-micro"
MBPS_PER_INSTANCE = 100
"""What converts between instances and throughput, whatever the machine type (behaviour 1.3.1)."""


class Subnet(Resource):
    """A /28 subnet that the connector has to itself."""

    name: str
    project_id: str | None = None


class Connector(NamedResource):
    """A connector: 2 to 10 instances in a /28 that carry the traffic of serverless services into a network."""

    collection: ClassVar[str] = "locations/-/connectors"
    gcloud: ClassVar = {"range": "ipCidrRange"}

    name: ConnectorRef
    network: NetworkRef | None = None
    ip_cidr_range: SubnetRange | None = None
    subnet: Subnet | None = None
    machine_type: MachineType = DEFAULT_MACHINE_TYPE
    capacity: Capacity | None = None
    """How much each instance carries; None: what the testbed's connectors have.  It is no field of Google's."""
    min_instances: int = Field(default=2, ge=2, le=9)
    max_instances: int = Field(default=10, ge=3, le=10)
    min_throughput: int | None = Field(default=None, ge=200, le=900, multiple_of=MBPS_PER_INSTANCE)
    max_throughput: int | None = Field(default=None, ge=300, le=1000, multiple_of=MBPS_PER_INSTANCE)

    @classmethod
    def prepare(cls, data: Json, known: Defaults) -> Json:
        """Throughput / 100 is the number of instances; where both are sent, instances win (behaviour 1.3.1, 1.3.2)."""
        for end in ("min", "max"):
            throughput = data.get(f"{end}Throughput")
            if isinstance(throughput, int):
                data.setdefault(f"{end}Instances", throughput // MBPS_PER_INSTANCE)
        return super().prepare(data, known)

    @field_validator("name")
    @classmethod
    def _id_follows_the_pattern(cls, value: str) -> str:
        if not re.fullmatch(CONNECTOR_ID, last(value)):
            raise ValueError(GoogleText(f"Connector ID must follow the pattern {CONNECTOR_ID}"))  # behaviour 1.5.1
        return value

    @field_validator("ip_cidr_range")
    @classmethod
    def _range_has_sixteen_addresses(cls, value: str | None) -> str | None:
        if value is not None and IPv4Network(value).prefixlen != CONNECTOR_PREFIX:
            raise ValueError(f"the range of a connector must be a /{CONNECTOR_PREFIX}")  # behaviour 1.6.1
        return value

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        by_range = self.network is not None and self.ip_cidr_range is not None and self.subnet is None
        by_subnet = self.subnet is not None and self.ip_cidr_range is None and self.network is None
        if not by_range and not by_subnet:
            raise ValueError("either network and ipCidrRange, or subnet must be given")  # behaviour 1.2.5
        if self.min_instances >= self.max_instances:
            raise ValueError(
                f"minInstances ({self.min_instances}) must be less than maxInstances ({self.max_instances})"
                # behaviour 1.2.7
            )
        return self

    @property
    def subnet_name(self) -> str:
        """The full name of the subnet that it was given; its project is the connector's (behaviour 1.2.4)."""
        if self.subnet is None:
            raise ValueError(f"{self.name} has a range of its own, not a subnet")
        owner = self.subnet.project_id or segment(self.name, "projects")
        return f"projects/{owner}/regions/{self.region}/subnetworks/{last(self.subnet.name)}"

    @property
    def network_tags(self) -> tuple[str, str]:
        """The universal and the unique network tag of every instance (behaviour 2.4.1)."""
        return "vpc-connector", f"vpc-connector-{self.region}-{self.id}"

    @property
    def resource_prefix(self) -> str:
        """How the names of its automatic resources begin: hyphens of the name doubled (behaviour 1.5.3)."""
        return f"aet-{self.region.replace('-', '')}-{self.id.replace('-', '--')}"

    @property
    def console_would_refuse(self) -> bool:
        """Whether the name breaks the console's stricter rule (behaviour 1.5.2, 1.5.4)."""
        return len(self.id) + self.id.count("-") > CONSOLE_LENGTH


Egress = Literal["PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"]
"""The egress setting (behaviour 3.1)."""

EgressSetting = Annotated[Egress, Enumerated({"ALL": "ALL_TRAFFIC"})]
"""The same as a field: `all` is what `gcloud functions` calls it."""


class RunVpcAccess(Resource):
    """Cloud Run v2's way into a network: a connector or Direct VPC egress (behaviour 1.12.4)."""

    connector: ConnectorRef | None = None
    network_interfaces: tuple[DirectInterface, ...] = Field(default=(), max_length=1)
    egress: EgressSetting = "PRIVATE_RANGES_ONLY"

    @model_serializer(mode="wrap")
    def _told(self, handler: SerializerFunctionWrapHandler) -> Json:
        """Without a way into a network, the setting says nothing, and Cloud Run takes no such message."""
        told: Json = handler(self) if self.connector or self.network_interfaces else {}
        return told

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.connector and self.network_interfaces:
            raise ValueError(
                GoogleText("one and only one of connector and network_interfaces must be set.")
            )  # behaviour 1.10.5
        return self
