"""Compute Engine: networks, subnetworks, addresses and routes.

Fields are those of the compute v1 API; what would have an effect that the testbed cannot make is refused, not ignored.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from testbed.model.core.places import AUTO_SUBNETS
from testbed.model.core.ranges import Address as IPv4
from testbed.model.core.ranges import Range, SubnetRange
from testbed.model.core.resource import (
    ComputeName,
    ComputeResource,
    Constant,
    InstanceRef,
    NetworkRef,
    PeerRef,
    RegionName,
    Resource,
    SubnetworkRef,
    TunnelRef,
    last,
    relative,
)

DEFAULT_MTU = 1460
"""Bytes (behaviour 4.7.3)."""
DEFAULT_INTERNET_GATEWAY = "default-internet-gateway"
DEFAULT_ROUTE_PRIORITY = 1000
"""Of the system-generated default route (behaviour 4.3.3, recalled), and of routes that say none."""


class Peering(Resource):
    """One side of a VPC Network Peering (behaviour 4.5)."""

    gcloud: ClassVar = {"peer-network": "network"}

    name: ComputeName
    network: PeerRef
    exchange_subnet_routes: Literal[True] = True
    """Subnet routes with private ranges are always exchanged (behaviour 4.5.2)."""
    export_custom_routes: bool = False
    import_custom_routes: bool = False
    """Static routes are exchanged if one side exports and the other imports them (behaviour 4.5.3)."""
    export_subnet_routes_with_public_ip: bool = True
    import_subnet_routes_with_public_ip: bool = False
    """The same for subnets with privately used public ranges (behaviour 4.5.2)."""


class RoutingConfig(Resource):
    """How routes that Cloud Routers learn apply (behaviour 4.3.10)."""

    routing_mode: Annotated[Literal["REGIONAL", "GLOBAL"], Constant] = "REGIONAL"


def _mode(value: Any) -> Any:
    return {"auto": True, "custom": False}.get(value, value) if isinstance(value, str) else value


class Network(ComputeResource):
    """A VPC network, or (`IPv4Range`) a legacy network, which has no subnets."""

    collection: ClassVar[str] = "global/networks"
    gcloud: ClassVar = {"subnet-mode": "autoCreateSubnetworks", "range": "IPv4Range"}
    not_built: ClassVar = {"enableUlaInternalIpv6": "the testbed has no IPv6"}

    auto_create_subnetworks: Annotated[bool, BeforeValidator(_mode, bool | Literal["auto", "custom"])] = False
    """Whether it has a subnet in every region (behaviour 4.4.7)."""
    ipv4_range: Annotated[Range | None, Field(alias="IPv4Range")] = None
    """Behaviour 4.4.8."""
    mtu: int = Field(default=DEFAULT_MTU, ge=1300, le=8896)
    """Bytes (behaviour 4.7.3)."""
    routing_config: RoutingConfig = RoutingConfig()
    peerings: tuple[Peering, ...] = ()
    network_firewall_policy_enforcement_order: Annotated[
        Literal["AFTER_CLASSIC_FIREWALL", "BEFORE_CLASSIC_FIREWALL"], Constant
    ] = "AFTER_CLASSIC_FIREWALL"
    """Whether its firewall policies are tried after its own rules, or before them (behaviour 4.1.21)."""
    delete_default_routes_on_create: bool = False
    """Whether its system-generated default route was deleted.  Terraform's word; Google's API has the route itself."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.legacy and (self.auto_create_subnetworks or self.peerings):
            raise ValueError("a legacy network has neither subnets nor peerings")  # behaviour 4.4.8, 4.5.6
        for seen, what in (({p.name for p in self.peerings}, "name"), ({p.network for p in self.peerings}, "network")):
            if len(seen) < len(self.peerings):
                raise ValueError(f"two peerings of {self.name} have the same {what}")
        if any(peering.network == self.full_name for peering in self.peerings):
            raise ValueError("a network cannot be peered with itself")
        return self

    @property
    def legacy(self) -> bool:
        """Whether it is a legacy network."""
        return self.ipv4_range is not None


class SecondaryRange(Resource):
    """A further range of a subnet, for alias addresses; no packets have such addresses here."""

    gcloud: ClassVar = {"range": "ipCidrRange"}

    range_name: ComputeName
    ip_cidr_range: SubnetRange


Purpose = Literal[
    "PRIVATE",
    "PRIVATE_RFC_1918",
    "PRIVATE_SERVICE_CONNECT",
    "REGIONAL_MANAGED_PROXY",
    "GLOBAL_MANAGED_PROXY",
    "INTERNAL_HTTPS_LOAD_BALANCER",
    "PRIVATE_NAT",
    "PEER_MIGRATION",
]
"""Behaviour 4.4.3."""


class Subnetwork(ComputeResource):
    """A regional subnet of a network (behaviour 4.4)."""

    collection: ClassVar[str] = "regions/-/subnetworks"
    gcloud: ClassVar = {"range": "ipCidrRange", "enable-private-ip-google-access": "privateIpGoogleAccess"}

    network: NetworkRef
    region: RegionName
    ip_cidr_range: SubnetRange
    purpose: Annotated[Purpose, Constant] = "PRIVATE"
    private_ip_google_access: bool = False
    secondary_ip_ranges: tuple[SecondaryRange, ...] = ()
    stack_type: Annotated[Literal["IPV4_ONLY"], Constant] = "IPV4_ONLY"


@lru_cache(maxsize=256)
def auto_subnetworks(network: str) -> tuple[Subnetwork, ...]:
    """The subnets that an auto mode network has from the beginning, named after it (behaviour 4.4.7)."""
    project, name = network.split("/")[1], last(network)
    return tuple(
        Subnetwork.model_validate(
            {
                "name": name,
                "network": network,
                "region": region,
                "ipCidrRange": cidr,
                "selfLink": f"projects/{project}/regions/{region}/subnetworks/{name}",
            }
        )
        for region, cidr in AUTO_SUBNETS.items()
    )


class Address(ComputeResource):
    """A reserved regional address: external, or (INTERNAL) one of a subnet.  Without `address` one is picked."""

    collection: ClassVar[str] = "regions/-/addresses"
    gcloud: ClassVar = {"subnet": "subnetwork"}

    region: RegionName
    address: IPv4 | None = None
    address_type: Annotated[Literal["EXTERNAL", "INTERNAL"], Constant] = "EXTERNAL"
    ip_version: Annotated[Literal["IPV4"], Constant] = "IPV4"
    subnetwork: SubnetworkRef | None = None
    purpose: Annotated[Literal["GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP", "NAT_AUTO"], Constant] | None = None

    @model_validator(mode="after")
    def _internal_is_of_a_subnet(self) -> Self:
        if (self.address_type == "INTERNAL") != (self.subnetwork is not None):
            raise ValueError("subnetwork must be given with addressType INTERNAL only")
        return self


class GlobalAddress(ComputeResource):
    """A range of a network that is set aside for private services access (behaviour 4.9.3).

    Global external addresses are those of load balancers, which are not built.
    """

    collection: ClassVar[str] = "global/addresses"

    address: IPv4
    prefix_length: int = Field(ge=8, le=30)
    network: NetworkRef
    address_type: Annotated[Literal["INTERNAL"], Constant] = "INTERNAL"
    purpose: Annotated[Literal["VPC_PEERING"], Constant] = "VPC_PEERING"

    @property
    def range(self) -> str:
        """What is set aside."""
        return f"{self.address}/{self.prefix_length}"


class Route(ComputeResource):
    """A static route with exactly one next hop (behaviour 4.3.4)."""

    collection: ClassVar[str] = "global/routes"
    gcloud: ClassVar = {"destination-range": "destRange", "next-hop-address": "nextHopIp"}
    not_built: ClassVar = {
        "nextHopIlb": "the testbed has no internal load balancers",
        "nextHopNetwork": "only the routes of subnets have it",
    }

    network: NetworkRef
    dest_range: Range
    priority: int = Field(default=DEFAULT_ROUTE_PRIORITY, ge=0, le=65535)
    tags: tuple[ComputeName, ...] = ()
    """It applies to NICs with one of these network tags only; without any, to all (behaviour 4.3.4)."""
    next_hop_gateway: str | None = None
    next_hop_ip: IPv4 | None = None
    next_hop_instance: InstanceRef | None = None
    next_hop_vpn_tunnel: TunnelRef | None = None

    @field_validator("next_hop_gateway")
    @classmethod
    def _only_the_default_gateway(cls, value: str | None) -> str | None:
        if value is not None and last(relative(value)) != DEFAULT_INTERNET_GATEWAY:
            raise ValueError(f"must be {DEFAULT_INTERNET_GATEWAY}")
        return value and DEFAULT_INTERNET_GATEWAY

    @model_validator(mode="after")
    def _one_next_hop(self) -> Self:
        hops = [self.next_hop_gateway, self.next_hop_ip, self.next_hop_instance, self.next_hop_vpn_tunnel]
        if sum(hop is not None for hop in hops) != 1:
            raise ValueError(
                "exactly one of nextHopGateway, nextHopIp, nextHopInstance, nextHopVpnTunnel must be given"
                # behaviour 4.3.4
            )
        return self
