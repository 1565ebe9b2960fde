"""Compute Engine: Cloud Routers, which carry Cloud NAT.  Their BGP has no effect on packets yet."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from testbed.model.base import (
    AddressRef,
    Compute,
    ComputeName,
    Constant,
    NetworkRef,
    RegionName,
    Resource,
    SubnetworkRef,
)


class NatSubnetwork(Resource):
    """A subnet that a NAT gateway serves."""

    name: SubnetworkRef
    source_ip_ranges_to_nat: tuple[Annotated[Literal["ALL_IP_RANGES", "PRIMARY_IP_RANGE"], Constant], ...] = (
        "ALL_IP_RANGES",
    )


class RouterNat(Resource):
    """A Cloud NAT gateway (behaviour 4.13)."""

    gcloud: ClassVar = {"nat-all-subnet-ip-ranges": "sourceSubnetworkIpRangesToNat"}
    not_built: ClassVar = {
        "rules": "the testbed's Cloud NAT has no rules yet",
        "drainNatIps": "the testbed's Cloud NAT does not drain addresses; take them out of natIps",
    }

    name: ComputeName
    type: Annotated[Literal["PUBLIC"], Constant] = "PUBLIC"
    nat_ip_allocate_option: Annotated[Literal["AUTO_ONLY", "MANUAL_ONLY"], Constant] = "AUTO_ONLY"
    nat_ips: tuple[AddressRef, ...] = ()
    source_subnetwork_ip_ranges_to_nat: Annotated[
        Literal["ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES", "LIST_OF_SUBNETWORKS"],
        Constant,
    ] = "ALL_SUBNETWORKS_ALL_IP_RANGES"
    subnetworks: tuple[NatSubnetwork, ...] = ()

    @model_validator(mode="after")
    def _addresses_go_with_the_option(self) -> Self:
        if (self.nat_ip_allocate_option == "MANUAL_ONLY") != bool(self.nat_ips):
            raise ValueError("natIps must be given with MANUAL_ONLY, and only then")
        if (self.source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS") != bool(self.subnetworks):
            raise ValueError("subnetworks must be given with LIST_OF_SUBNETWORKS, and only then")
        return self


_PRIVATE_ASN = (range(64512, 65535), range(4_200_000_000, 4_294_967_295), range(16550, 16551))
"""RFC 6996 (behaviour 4.11.5), and the one of Partner Interconnect (recalled)."""


class Bgp(Resource):
    """What a router would say by BGP."""

    asn: int | None = None
    keepalive_interval: int = Field(default=20, ge=20, le=60)

    @field_validator("asn")
    @classmethod
    def _private(cls, value: int | None) -> int | None:
        if value and not any(value in private for private in _PRIVATE_ASN):
            raise ValueError("must be an RFC 6996 private ASN, 64512-65534 or 4200000000-4294967294")
        return value


class Router(Compute):
    """A Cloud Router (behaviour 4.11)."""

    collection: ClassVar[str] = "regions/-/routers"

    network: NetworkRef
    region: RegionName
    bgp: Bgp | None = None
    nats: tuple[RouterNat, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({nat.name for nat in self.nats}) < len(self.nats):
            raise ValueError(f"two NAT gateways of {self.name} have the same name")
        return self
