"""What lies outside Google's cloud, and so has no resource there: hosts on the internet, and on-prem sites."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from testbed.model.compute.router import Session
from testbed.model.core.ranges import Address, Range
from testbed.model.core.resource import ComputeName, Resource
from testbed.model.hybrid.interconnect import SiteRouter
from testbed.model.hybrid.shared_secret import SharedSecret


class Host(Resource):
    """A machine with one address and a web server that answers with the source address it saw."""

    name: ComputeName
    address: Address
    image: str = "testbed/vm"


class PeerTunnel(Resource):
    """The on-prem side of an IPsec tunnel: with static routes, or with BGP."""

    peer_ip: Address
    shared_secret: SharedSecret
    ike_version: int = Field(default=2, ge=1, le=2)
    remote_ranges: tuple[Range, ...] = ()
    """Ranges behind the peer: the on-prem gateway's static routes and the tunnel's remote traffic selector."""
    cipher: Literal["AES-GCM", "AES-CBC-SHA256", "AES-CBC-SHA512"] = "AES-GCM"
    """What it takes of the ciphers of phase 2 that Cloud VPN offers (behaviour 4.10.8)."""
    bgp: Session | None = None
    """The tunnel is route-based then: its selectors are 0.0.0.0/0, and what it is for is learned."""

    @model_validator(mode="after")
    def _static_or_dynamic(self) -> Self:
        if bool(self.remote_ranges) == (self.bgp is not None):
            raise ValueError("exactly one of remoteRanges and bgp must be given")
        return self


class VpnGateway(Resource):
    """The gateway of a site: a router with an address on the internet and one in the site."""

    name: ComputeName
    external_address: Address
    internal_address: Address
    tunnels: tuple[PeerTunnel, ...] = ()

    @model_validator(mode="after")
    def _one_way_of_routing(self) -> Self:
        if len({tunnel.bgp is None for tunnel in self.tunnels}) > 1:
            raise ValueError(f"the tunnels of {self.name} must all have bgp, or none of them")
        if len({tunnel.peer_ip for tunnel in self.tunnels}) < len(self.tunnels):
            raise ValueError(f"two tunnels of {self.name} have the same peerIp")
        return self

    @property
    def dynamic(self) -> bool:
        """Whether its tunnels have BGP."""
        return any(tunnel.bgp is not None for tunnel in self.tunnels)

    @property
    def ends(self) -> int:
        """How many nodes it is made of: each tunnel with BGP has its own."""
        return len(self.tunnels) if self.dynamic else 1


class SiteBgp(Resource):
    """What a site says by BGP."""

    asn: int = Field(ge=1, le=4_294_967_294)
    keepalive_interval: int = Field(default=20, ge=1, le=60)
    """Seconds; a session without a sign for three times as long is over."""
    advertised_ranges: tuple[Range, ...] = ()
    """The site's range, unless others are given."""


class SiteFirewall(Resource):
    """The site's own firewall: who may open connections from behind its gateway; answers always come in."""

    allowed_sources: tuple[Range, ...] = ()


class Site(Resource):
    """An on-prem network behind a VPN gateway, or behind a router with VLAN attachments."""

    collection: ClassVar[str] = "sites"

    name: ComputeName
    range: Range
    gateway: VpnGateway | None = None
    router: SiteRouter | None = None
    bgp: SiteBgp | None = None
    firewall: SiteFirewall | None = None
    """Without one everything is let in (behaviour 4.11.4)."""
    hosts: tuple[Host, ...] = ()

    @property
    def way_out(self) -> VpnGateway | SiteRouter:
        """Its gateway or its router."""
        found = self.gateway or self.router
        if found is None:
            raise ValueError(f"the site {self.name} has neither a gateway nor a router")
        return found

    @property
    def dynamic(self) -> bool:
        """Whether its routes are learned by BGP."""
        return self.gateway is None or self.gateway.dynamic

    @model_validator(mode="after")
    def _one_way_out(self) -> Self:
        if (self.gateway is None) == (self.router is None):
            raise ValueError(f"the site {self.name} must have either a gateway or a router")
        return self

    @model_validator(mode="after")
    def _addresses_are_in_the_range(self) -> Self:
        network = IPv4Network(self.range)
        inside = {self.way_out.name: self.way_out.internal_address, **{h.name: h.address for h in self.hosts}}
        for name, address in inside.items():
            if IPv4Address(address) not in network:
                raise ValueError(f"{name} has the address {address}, which is not in the site's range {self.range}")
        if len({*inside.values()}) < len(self.hosts) + 1:
            raise ValueError("two machines of the site have the same address, or the same name")
        return self

    @model_validator(mode="after")
    def _sessions_have_an_asn(self) -> Self:
        if self.dynamic and self.bgp is None:
            raise ValueError(f"the site {self.name} needs an ASN (bgp.asn): tunnels or attachments have bgp")
        return self
