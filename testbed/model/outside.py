"""What lies outside Google's cloud, and so has no resource there: hosts on the internet, and on-prem sites."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, Self

from pydantic import Field, model_validator

from testbed.model.base import ComputeName, Resource
from testbed.model.ranges import Address, Range


class Host(Resource):
    """A machine with one address and a web server that answers with the source address it saw."""

    name: ComputeName
    address: Address
    image: str = "testbed/vm"


class PeerTunnel(Resource):
    """The on-prem side of an IPsec tunnel."""

    peer_ip: Address
    shared_secret: str = Field(min_length=8, max_length=64, repr=False)
    ike_version: int = Field(default=2, ge=1, le=2)
    remote_ranges: tuple[Range, ...] = Field(min_length=1)
    """Ranges behind the peer: the on-prem gateway's static routes and the tunnel's remote traffic selector."""


class VpnGateway(Resource):
    """The gateway of a site: a router with an address on the internet and one in the site."""

    name: ComputeName
    external_address: Address
    internal_address: Address
    tunnels: tuple[PeerTunnel, ...] = ()


class Site(Resource):
    """An on-prem network behind a VPN gateway."""

    collection: ClassVar[str] = "sites"

    name: ComputeName
    range: Range
    gateway: VpnGateway
    hosts: tuple[Host, ...] = ()

    @model_validator(mode="after")
    def _addresses_are_in_the_range(self) -> Self:
        network = IPv4Network(self.range)
        inside = {self.gateway.name: self.gateway.internal_address, **{h.name: h.address for h in self.hosts}}
        for name, address in inside.items():
            if IPv4Address(address) not in network:
                raise ValueError(f"{name} has the address {address}, which is not in the site's range {self.range}")
        if len({*inside.values()}) < len(self.hosts) + 1:
            raise ValueError("two machines of the site have the same address, or the same name")
        return self
