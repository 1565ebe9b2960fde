"""Compute Engine: Cloud Routers, which carry Cloud NAT and speak BGP (behaviour 4.11)."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from testbed.model.core.ranges import Address, Range
from testbed.model.core.resource import (
    AddressRef,
    ComputeName,
    ComputeResource,
    Constant,
    LinkedAttachmentRef,
    NetworkRef,
    RegionName,
    Resource,
    SubnetworkRef,
    TunnelRef,
)


class NatSubnetwork(Resource):
    """A subnet that a NAT gateway serves."""

    name: SubnetworkRef
    source_ip_ranges_to_nat: tuple[Annotated[Literal["ALL_IP_RANGES", "PRIMARY_IP_RANGE"], Constant], ...] = (
        "ALL_IP_RANGES",
    )


STATIC_PORTS, DYNAMIC_PORTS = 64, 32
"""What a VM has at least if `minPortsPerVm` does not say it, without and with dynamic allocation (behaviour 4.13.2)."""
MOST_PORTS = 65536
_MOST_STATIC = 57344
"""Recalled."""


class RouterNat(Resource):
    """A Cloud NAT gateway (behaviour 4.13).  Times are in seconds (behaviour 4.13.4)."""

    gcloud: ClassVar = {
        "nat-all-subnet-ip-ranges": "sourceSubnetworkIpRangesToNat",
        "udp-idle-timeout": "udpIdleTimeoutSec",
        "icmp-idle-timeout": "icmpIdleTimeoutSec",
        "tcp-established-idle-timeout": "tcpEstablishedIdleTimeoutSec",
        "tcp-transitory-idle-timeout": "tcpTransitoryIdleTimeoutSec",
        "tcp-time-wait-timeout": "tcpTimeWaitTimeoutSec",
    }
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
    min_ports_per_vm: int | None = Field(default=None, ge=1, le=MOST_PORTS)
    """Rounded up to a power of two (`least_ports`)."""
    max_ports_per_vm: int | None = Field(default=None, ge=1, le=MOST_PORTS)
    """Without dynamic allocation it has no effect."""
    enable_dynamic_port_allocation: bool = False
    enable_endpoint_independent_mapping: bool = False
    """Kept without effect: a connection to another destination may leave by another port."""
    udp_idle_timeout_sec: int = Field(default=30, ge=1)
    icmp_idle_timeout_sec: int = Field(default=30, ge=1)
    tcp_established_idle_timeout_sec: int = Field(default=1200, ge=1)
    tcp_transitory_idle_timeout_sec: int = Field(default=30, ge=1)
    tcp_time_wait_timeout_sec: int = Field(default=120, ge=1)

    @property
    def least_ports(self) -> int:
        """The ports of each address and protocol that a VM has at least: a power of two (behaviour 4.13.2)."""
        least = self.min_ports_per_vm or (DYNAMIC_PORTS if self.enable_dynamic_port_allocation else STATIC_PORTS)
        return 1 << (least - 1).bit_length()

    @property
    def most_ports(self) -> int:
        """Those that it can have when it needs them."""
        return (self.max_ports_per_vm or MOST_PORTS) if self.enable_dynamic_port_allocation else self.least_ports

    @model_validator(mode="after")
    def _ports_make_sense(self) -> Self:
        dynamic, least, most = self.enable_dynamic_port_allocation, self.min_ports_per_vm, self.max_ports_per_vm
        if not dynamic:
            if least is not None and least > _MOST_STATIC:
                raise ValueError(f"minPortsPerVm is at most {_MOST_STATIC} without enableDynamicPortAllocation")
            return self
        if self.enable_endpoint_independent_mapping:
            raise ValueError("enableEndpointIndependentMapping and enableDynamicPortAllocation exclude each other")
        for name, value in (("minPortsPerVm", least), ("maxPortsPerVm", most)):
            if value is not None and value.bit_count() != 1:
                raise ValueError(f"{name} must be a power of two with enableDynamicPortAllocation, not {value}")
        if least is not None and not DYNAMIC_PORTS <= least < MOST_PORTS:
            raise ValueError(f"minPortsPerVm is from {DYNAMIC_PORTS} to {MOST_PORTS // 2}, not {least}")
        if self.most_ports < 2 * self.least_ports:
            raise ValueError("maxPortsPerVm must be at least twice minPortsPerVm")  # behaviour 4.13.2
        return self

    @model_validator(mode="after")
    def _addresses_go_with_the_option(self) -> Self:
        if (self.nat_ip_allocate_option == "MANUAL_ONLY") != bool(self.nat_ips):
            raise ValueError("natIps must be given with MANUAL_ONLY only")
        if (self.source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS") != bool(self.subnetworks):
            raise ValueError("subnetworks must be given with LIST_OF_SUBNETWORKS only")
        return self


_PRIVATE_ASN = (range(64512, 65535), range(4_200_000_000, 4_294_967_295), range(16550, 16551))
"""RFC 6996 (behaviour 4.11.5), and the one of Partner Interconnect (recalled)."""


LINK_LOCAL = IPv4Network("169.254.0.0/16")
"""Where the addresses of BGP sessions are from (behaviour 4.11.5)."""
DEFAULT_PRIORITY = 100
"""The MED of what a router advertises in its own region (recalled)."""


def link_local(value: str) -> str:
    """The address of an interface with the length of its range: `169.254.0.1/30`.

    Raises:
        ValueError: it is none, or not link-local, or the range has no room for two.
    """
    interface = IPv4Interface(value)
    if not (interface.network.subnet_of(LINK_LOCAL) and 29 <= interface.network.prefixlen <= 30):
        raise ValueError("must be an address of a /29 or /30 in 169.254.0.0/16")  # behaviour 4.11.5
    if interface.ip not in {*interface.network.hosts()}:
        raise ValueError(f"{interface.ip} is the first or the last address of {interface.network}")
    return str(interface)


class AdvertisedRange(Resource):
    """A custom advertised range."""

    range: Range
    description: str = ""


class _Advertisement(Resource):
    """What is advertised (behaviour 4.11.1)."""

    advertise_mode: Annotated[Literal["DEFAULT", "CUSTOM"], Constant] = "DEFAULT"
    advertised_groups: tuple[Annotated[Literal["ALL_SUBNETS"], Constant], ...] = ()
    advertised_ip_ranges: tuple[AdvertisedRange, ...] = ()

    @model_validator(mode="after")
    def _only_if_custom(self) -> Self:
        if self.advertise_mode == "DEFAULT" and (self.advertised_groups or self.advertised_ip_ranges):
            raise ValueError("advertisedGroups and advertisedIpRanges must be given with advertiseMode CUSTOM only")
        return self


class Bgp(_Advertisement):
    """What a router says by BGP, unless a peer has its own."""

    asn: int | None = None
    keepalive_interval: int = Field(default=20, ge=20, le=60)
    """Seconds; a session without a sign for three times as long is over (behaviour 4.11.5)."""

    @field_validator("asn")
    @classmethod
    def _private(cls, value: int | None) -> int | None:
        if value and not any(value in private for private in _PRIVATE_ASN):
            raise ValueError("must be an RFC 6996 private ASN, 64512-65534 or 4200000000-4294967294")
        return value


class RouterInterface(Resource):
    """An interface of a router: its end of a tunnel or of a VLAN attachment."""

    name: ComputeName
    ip_range: str | None = None
    """Its address, with the length of the range: `169.254.0.1/30`."""
    linked_vpn_tunnel: TunnelRef | None = None
    linked_interconnect_attachment: LinkedAttachmentRef | None = None

    @property
    def link(self) -> str | None:
        """The full name of what it is linked to."""
        return self.linked_vpn_tunnel or self.linked_interconnect_attachment

    @field_validator("ip_range")
    @classmethod
    def _link_local(cls, value: str | None) -> str | None:
        return value and link_local(value)


class Session(Resource):
    """The on-prem side of a BGP session through a tunnel or an attachment."""

    ip_range: str
    """Its address, with the length of the range: `169.254.0.2/30`."""
    peer_ip_address: Address
    peer_asn: int = Field(ge=1, le=4_294_967_294)
    advertised_route_priority: int = Field(default=DEFAULT_PRIORITY, ge=0, le=65535)
    """The MED of what is advertised: Cloud Router takes it for the priority of the route."""

    @field_validator("ip_range")
    @classmethod
    def _link_local(cls, value: str) -> str:
        return link_local(value)


def _switch(value: Any) -> Any:
    return {True: "TRUE", False: "FALSE"}.get(value, value) if isinstance(value, bool) else value


class BgpPeer(_Advertisement):
    """A BGP session of a router."""

    gcloud: ClassVar = {"interface": "interfaceName"}
    not_built: ClassVar = {
        "md5AuthenticationKeyName": "the testbed's BGP sessions have no keys",
        "exportPolicies": "the testbed has no route policies",
        "importPolicies": "the testbed has no route policies",
        "customLearnedIpRanges": "the testbed has no custom learned routes",
    }

    name: ComputeName
    interface_name: ComputeName | None = None
    ip_address: Address | None = None
    """The router's own; that of the interface if it is not given."""
    peer_ip_address: Address | None = None
    peer_asn: int = Field(ge=1, le=4_294_967_294)
    advertised_route_priority: int = Field(default=DEFAULT_PRIORITY, ge=0, le=65535)
    """The MED of what is advertised."""
    enable: Annotated[Literal["TRUE", "FALSE"], BeforeValidator(_switch, Literal["TRUE", "FALSE"] | bool)] = "TRUE"


class Router(ComputeResource):
    """A Cloud Router (behaviour 4.11)."""

    collection: ClassVar[str] = "regions/-/routers"

    network: NetworkRef
    region: RegionName
    bgp: Bgp | None = None
    interfaces: tuple[RouterInterface, ...] = ()
    bgp_peers: tuple[BgpPeer, ...] = ()
    nats: tuple[RouterNat, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({nat.name for nat in self.nats}) < len(self.nats):
            raise ValueError(f"two NAT gateways of {self.name} have the same name")
        return self

    @model_validator(mode="after")
    def _sessions_fit(self) -> Self:
        interfaces = {one.name: one for one in self.interfaces}
        for kind, names in (
            ("interfaces", [i.name for i in self.interfaces]),
            ("peers", [p.name for p in self.bgp_peers]),
        ):
            if len({*names}) < len(names):
                raise ValueError(f"two BGP {kind} of {self.name} have the same name")
        for peer in self.bgp_peers:
            if peer.interface_name is not None and peer.interface_name not in interfaces:
                raise ValueError(f"BGP peer {peer.name}: its interface {peer.interface_name} is missing")
            given = interfaces[peer.interface_name].ip_range if peer.interface_name else None
            own = IPv4Interface(given) if given else None
            if own and peer.ip_address and peer.ip_address != str(own.ip):
                raise ValueError(
                    f"BGP peer {peer.name}: {peer.ip_address} is not the address of its interface, {own.ip}"
                )
            if own and peer.peer_ip_address and IPv4Interface(f"{peer.peer_ip_address}/32").ip not in own.network:
                raise ValueError(f"BGP peer {peer.name}: {peer.peer_ip_address} is not in {own.network}")
        if self.bgp_peers and (self.bgp is None or self.bgp.asn is None):
            raise ValueError("a router with BGP peers needs an ASN (bgp.asn)")
        return self
