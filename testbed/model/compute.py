"""Compute Engine: networks, subnetworks, addresses, routes, routers with Cloud NAT, instances.

Fields are those of the compute v1 API; what the testbed cannot do yet is refused rather than ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from testbed.model.base import (
    AddressRef,
    Compute,
    ComputeName,
    Constant,
    InstanceRef,
    NetworkRef,
    PeerRef,
    RegionName,
    Resource,
    SubnetworkRef,
    TunnelRef,
    ZoneName,
    last,
    region_of,
    relative,
)
from testbed.model.ranges import Address as IPv4
from testbed.model.ranges import Range, SubnetRange

Tag = ComputeName
"""Network tags obey the naming rule of Compute Engine."""

DEFAULT_MTU = 1460
"""Bytes (behaviour 4.7.3)."""


class Peering(Resource):
    """One side of a VPC Network Peering (behaviour 4.5)."""

    name: ComputeName
    network: PeerRef
    exchange_subnet_routes: Literal[True] = True
    """Subnet routes with private ranges are always exchanged (behaviour 4.5.2)."""


class RoutingConfig(Resource):
    """How routes that Cloud Routers learn apply (behaviour 4.3.10)."""

    routing_mode: Annotated[Literal["REGIONAL", "GLOBAL"], Constant] = "REGIONAL"


def _mode(value: Any) -> Any:
    return value != "custom" if isinstance(value, str) else value  # gcloud's --subnet-mode


class Network(Compute):
    """A VPC network.  Legacy networks (`IPv4Range`) are not supported by Serverless VPC Access (behaviour 4.4.8)."""

    collection: ClassVar[str] = "global/networks"

    gcloud: ClassVar = {"subnet-mode": "autoCreateSubnetworks"}

    auto_create_subnetworks: Annotated[Literal[False], BeforeValidator(_mode, Literal[False, "custom"])] = False
    """Custom mode only in this version."""
    mtu: int = Field(default=DEFAULT_MTU, ge=1300, le=8896)
    """Bytes (behaviour 4.7.3)."""
    routing_config: RoutingConfig = RoutingConfig()
    peerings: tuple[Peering, ...] = ()


class Subnetwork(Compute):
    """A regional subnet of a network (behaviour 4.4)."""

    collection: ClassVar[str] = "regions/-/subnetworks"
    gcloud: ClassVar = {"range": "ipCidrRange", "enable-private-ip-google-access": "privateIpGoogleAccess"}

    network: NetworkRef
    region: RegionName
    ip_cidr_range: SubnetRange
    purpose: Annotated[Literal["PRIVATE", "PRIVATE_SERVICE_CONNECT", "REGIONAL_MANAGED_PROXY"], Constant] = "PRIVATE"
    private_ip_google_access: bool = False


class Address(Compute):
    """A reserved regional external address.  Without `address` the testbed picks one."""

    collection: ClassVar[str] = "regions/-/addresses"

    region: RegionName
    address: IPv4 | None = None
    address_type: Annotated[Literal["EXTERNAL"], Constant] = "EXTERNAL"


DEFAULT_INTERNET_GATEWAY = "default-internet-gateway"
DEFAULT_ROUTE_PRIORITY = 1000
"""Of the system-generated default route (behaviour 4.3.3, recalled), and of routes that say none."""


class Route(Compute):
    """A static route with exactly one next hop (behaviour 4.3.4)."""

    collection: ClassVar[str] = "global/routes"
    gcloud: ClassVar = {"destination-range": "destRange", "next-hop-address": "nextHopIp"}

    network: NetworkRef
    dest_range: Range
    priority: int = Field(default=DEFAULT_ROUTE_PRIORITY, ge=0, le=65535)
    next_hop_gateway: str | None = None
    next_hop_ip: IPv4 | None = None
    next_hop_instance: InstanceRef | None = None
    next_hop_vpn_tunnel: TunnelRef | None = None

    @field_validator("next_hop_gateway")
    @classmethod
    def _only_the_default_gateway(cls, value: str | None) -> str | None:
        if value is not None and last(relative(value)) != DEFAULT_INTERNET_GATEWAY:
            raise ValueError(f"the only gateway is {DEFAULT_INTERNET_GATEWAY}")
        return value and DEFAULT_INTERNET_GATEWAY

    @model_validator(mode="after")
    def _one_next_hop(self) -> Self:
        hops = [self.next_hop_gateway, self.next_hop_ip, self.next_hop_instance, self.next_hop_vpn_tunnel]
        if sum(hop is not None for hop in hops) != 1:
            raise ValueError(
                "exactly one of nextHopGateway, nextHopIp, nextHopInstance, nextHopVpnTunnel must be given"
                " (behaviour 4.3.4)"
            )
        return self


class NatSubnetwork(Resource):
    """A subnet that a NAT gateway serves."""

    name: SubnetworkRef
    source_ip_ranges_to_nat: tuple[Annotated[Literal["ALL_IP_RANGES", "PRIMARY_IP_RANGE"], Constant], ...] = (
        "ALL_IP_RANGES",
    )


class RouterNat(Resource):
    """A Cloud NAT gateway (behaviour 4.13)."""

    gcloud: ClassVar = {"nat-all-subnet-ip-ranges": "sourceSubnetworkIpRangesToNat"}

    name: ComputeName
    nat_ip_allocate_option: Annotated[Literal["AUTO_ONLY", "MANUAL_ONLY"], Constant] = "AUTO_ONLY"
    nat_ips: tuple[AddressRef, ...] = Field((), max_length=1)
    """One address at most in this version."""
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


class Router(Compute):
    """A Cloud Router; in this version it carries Cloud NAT only."""

    collection: ClassVar[str] = "regions/-/routers"

    network: NetworkRef
    region: RegionName
    nats: tuple[RouterNat, ...] = ()


class AccessConfig(Resource):
    """An external address of a NIC, translated one to one."""

    name: str = "External NAT"
    type: Annotated[Literal["ONE_TO_ONE_NAT"], Constant] = "ONE_TO_ONE_NAT"
    nat_ip: Annotated[IPv4 | None, Field(alias="natIP")] = None


class NetworkInterface(Resource):
    """A NIC of an instance: one primary internal address, one external address at most."""

    subnetwork: SubnetworkRef
    network_ip: Annotated[IPv4 | None, Field(alias="networkIP")] = None
    access_configs: tuple[AccessConfig, ...] = Field(default=(), max_length=1)


class Tags(Resource):
    """The network tags of an instance."""

    items: tuple[Tag, ...] = ()


class ServiceAccount(Resource):
    """The service account that an instance runs as."""

    email: str
    scopes: tuple[str, ...] = ()


class InitializeParams(Resource):
    """What a boot disk is made from: here the name of a local Docker image."""

    source_image: str = "testbed/vm"


class Disk(Resource):
    """A boot disk."""

    boot: bool = True
    initialize_params: InitializeParams = InitializeParams()


class Instance(Compute):
    """A VM instance."""

    collection: ClassVar[str] = "zones/-/instances"

    zone: ZoneName
    machine_type: str = "e2-micro"
    network_interfaces: tuple[NetworkInterface, ...] = Field(min_length=1, max_length=1)
    tags: Tags = Tags()
    service_accounts: tuple[ServiceAccount, ...] = Field(default=(), max_length=1)
    disks: tuple[Disk, ...] = Field(default=(Disk(),), min_length=1, max_length=1)

    @property
    def region(self) -> str:
        """The region of the instance's zone."""
        return region_of(self.zone)

    @property
    def nic(self) -> NetworkInterface:
        """The instance's only NIC."""
        return self.network_interfaces[0]
