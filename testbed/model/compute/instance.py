"""Compute Engine: instances.

Fields are those of the compute v1 API; what the testbed cannot do yet is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from testbed.model.compute.images import BUILT_IN, distribution, docker_image
from testbed.model.core.ranges import Address as IPv4
from testbed.model.core.resource import (
    Account,
    ComputeName,
    ComputeResource,
    Constant,
    Resource,
    SubnetworkRef,
    ZoneName,
    region_of,
)

Tag = ComputeName
"""Network tags obey the naming rule of Compute Engine."""


class AccessConfig(Resource):
    """An external address of a NIC, translated one to one."""

    not_built: ClassVar = {"securityPolicy": "Cloud Armor is not built"}

    name: str = "External NAT"
    type: Annotated[Literal["ONE_TO_ONE_NAT"], Constant] = "ONE_TO_ONE_NAT"
    nat_ip: Annotated[IPv4 | None, Field(alias="natIP")] = None


class NetworkInterface(Resource):
    """A NIC of an instance: one primary internal address, one external address at most."""

    not_built: ClassVar = {
        "aliasIpRanges": "a NIC of the testbed has one address",
        "ipv6AccessConfigs": "there is no IPv6",
        "networkAttachment": "Private Service Connect is not built",
    }

    subnetwork: SubnetworkRef
    network_ip: Annotated[IPv4 | None, Field(alias="networkIP")] = None
    stack_type: Annotated[Literal["IPV4_ONLY"], Constant] = "IPV4_ONLY"
    access_configs: tuple[AccessConfig, ...] = Field(default=(), max_length=1)


class Tags(Resource):
    """The network tags of an instance."""

    items: tuple[Tag, ...] = ()


class ServiceAccount(Resource):
    """The service account that an instance runs as."""

    email: Account | Literal["default"]
    scopes: tuple[str, ...] = ()


class MetadataItem(Resource):
    """One entry of metadata."""

    key: str
    value: str = ""


class Metadata(Resource):
    """What an instance is told by the metadata server; some of its keys make the guest act."""

    items: tuple[MetadataItem, ...] = ()

    def attributes(self) -> Mapping[str, str]:
        """The entries by key."""
        return {item.key: item.value for item in self.items}


NOT_ACTED_ON: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "gce-container-declaration": {"cos": "Container-Optimized OS would run this container"},
        "user-data": {"cos": "cloud-init would read it", "ubuntu": "cloud-init would read it"},
    }
)
"""Metadata that would do something in the guest of a distribution, which the testbed's guest does not do."""


class InitializeParams(Resource):
    """What a boot disk is made from: the name of a local Docker image, or one of Google's (`model.compute.images`)."""

    source_image: str = BUILT_IN


class Disk(Resource):
    """A disk.  The boot disk says what the instance runs; no other has a part in the network."""

    boot: bool = True
    initialize_params: InitializeParams = InitializeParams()


class Instance(ComputeResource):
    """A VM instance."""

    collection: ClassVar[str] = "zones/-/instances"
    zone: ZoneName
    machine_type: str = "e2-micro"
    can_ip_forward: bool = False
    """Whether it may send, and is given, packets of other addresses than its own: a router or NAT gateway."""
    network_interfaces: tuple[NetworkInterface, ...] = Field(min_length=1, max_length=1)
    tags: Tags = Tags()
    metadata: Metadata = Metadata()
    service_accounts: tuple[ServiceAccount, ...] = Field(default=(), max_length=1)
    disks: tuple[Disk, ...] = Field(default=(Disk(),), min_length=1)
    status: Annotated[Literal["RUNNING", "TERMINATED"], Constant] = "RUNNING"
    """What it should be: one that is stopped has no node, but keeps its address."""

    @model_validator(mode="after")
    def _check_metadata(self) -> Self:
        guest = distribution(self._source)
        for key in self.metadata.attributes():
            if reason := NOT_ACTED_ON.get(key, {}).get(guest or ""):
                raise ValueError(
                    f"metadata {key}: {reason}, but the testbed's VM does not; give it an image of your own"
                    " (projects/PROJECT/global/images/NAME), or a startup-script"
                )
        return self

    @property
    def region(self) -> str:
        """The region of the instance's zone."""
        return region_of(self.zone)

    @property
    def nic(self) -> NetworkInterface:
        """The instance's only NIC."""
        return self.network_interfaces[0]

    @property
    def runs(self) -> bool:
        """Whether it has a node."""
        return self.status == "RUNNING"

    @property
    def image(self) -> str:
        """The Docker image that it runs."""
        return docker_image(self._source) or self._source

    @property
    def _source(self) -> str:
        boot = next((disk for disk in self.disks if disk.boot), self.disks[0])
        return boot.initialize_params.source_image
