"""Cloud VPN (behaviour 4.10): classic gateways with their forwarding rules, HA gateways, gateways elsewhere, tunnels.

Tunnels of classic gateways have static routes, those of HA gateways dynamic ones (behaviour 4.10.1): `compute.router`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from testbed.model.core.ranges import Address, Range
from testbed.model.core.resource import (
    AddressRef,
    ComputeResource,
    Constant,
    GatewayRef,
    NetworkRef,
    Reference,
    RegionName,
    Resource,
    RouterRef,
)
from testbed.model.hybrid.shared_secret import SharedSecret

HaGatewayRef = Annotated[str, Reference("regions/-/vpnGateways")]
ExternalGatewayRef = Annotated[str, Reference("global/externalVpnGateways")]
EVERYTHING = "0.0.0.0/0"


class TargetVpnGateway(ComputeResource):
    """A classic VPN gateway."""

    collection: ClassVar[str] = "regions/-/targetVpnGateways"

    network: NetworkRef
    region: RegionName


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value  # a port in YAML is a number


class ForwardingRule(ComputeResource):
    """Sends ESP, UDP 500 and UDP 4500 of an external address to a classic VPN gateway."""

    collection: ClassVar[str] = "regions/-/forwardingRules"

    region: RegionName
    ip_address: Annotated[AddressRef, Field(alias="IPAddress")]
    ip_protocol: Annotated[Literal["ESP", "UDP"], Constant, Field(alias="IPProtocol")]
    port_range: Annotated[Literal["500", "4500"] | None, BeforeValidator(_text, Literal["500", "4500", 500, 4500])] = (
        None
    )
    target: GatewayRef


NEEDED = frozenset({("ESP", None), ("UDP", "500"), ("UDP", "4500")})
"""What the forwarding rules of a classic gateway have to send to it."""


def external_address(gateway: str, rules: Iterable[ForwardingRule]) -> str | None:
    """The (full name of the) address of a classic gateway, if it has all forwarding rules, and one address only."""
    mine = [rule for rule in rules if rule.target == gateway]
    addresses = {rule.ip_address for rule in mine}
    whole = {(rule.ip_protocol, rule.port_range) for rule in mine} >= NEEDED
    return addresses.pop() if whole and len(addresses) == 1 else None


class VpnInterface(Resource):
    """One of the two interfaces of an HA VPN gateway."""

    id: Literal[0, 1]
    ip_address: Address | None = None
    """Without it the testbed picks one, as Google always does."""


class HaVpnGateway(ComputeResource):
    """An HA VPN gateway: two interfaces with an external address each (behaviour 4.10.1)."""

    collection: ClassVar[str] = "regions/-/vpnGateways"

    network: NetworkRef
    region: RegionName
    stack_type: Annotated[Literal["IPV4_ONLY"], Constant] = "IPV4_ONLY"
    vpn_interfaces: tuple[VpnInterface, ...] = (VpnInterface(id=0), VpnInterface(id=1))

    @model_validator(mode="after")
    def _two_interfaces(self) -> Self:
        if sorted(interface.id for interface in self.vpn_interfaces) != [0, 1]:
            raise ValueError("an HA VPN gateway has the interfaces 0 and 1")
        return self


class ExternalInterface(Resource):
    """One of the interfaces of a gateway elsewhere."""

    id: int = Field(ge=0, le=3)
    ip_address: Address


REDUNDANCY = {"SINGLE_IP_INTERNALLY_REDUNDANT": 1, "TWO_IPS_REDUNDANCY": 2, "FOUR_IPS_REDUNDANCY": 4}
"""How many interfaces a gateway elsewhere has."""


class ExternalVpnGateway(ComputeResource):
    """What Google knows of a gateway elsewhere: the addresses that it has on the internet."""

    collection: ClassVar[str] = "global/externalVpnGateways"

    redundancy_type: Annotated[
        Literal["SINGLE_IP_INTERNALLY_REDUNDANT", "TWO_IPS_REDUNDANCY", "FOUR_IPS_REDUNDANCY"], Constant
    ] = "SINGLE_IP_INTERNALLY_REDUNDANT"
    interfaces: tuple[ExternalInterface, ...]

    @model_validator(mode="after")
    def _as_many_as_it_says(self) -> Self:
        if sorted(one.id for one in self.interfaces) != list(range(REDUNDANCY[self.redundancy_type])):
            raise ValueError(f"the number of interfaces does not fit {self.redundancy_type}")
        return self


class VpnTunnel(ComputeResource):
    """An IPsec tunnel between a VPN gateway and a peer."""

    collection: ClassVar[str] = "regions/-/vpnTunnels"

    region: RegionName
    target_vpn_gateway: GatewayRef | None = None
    vpn_gateway: HaGatewayRef | None = None
    """An HA VPN gateway."""
    vpn_gateway_interface: Literal[0, 1] = 0
    peer_external_gateway: ExternalGatewayRef | None = None
    peer_external_gateway_interface: int = Field(default=0, ge=0, le=3)
    peer_gcp_gateway: HaGatewayRef | None = None
    """The peer is the interface of the same number of another network's gateway."""
    router: RouterRef | None = None
    """Speaks BGP through a tunnel of an HA gateway."""
    peer_ip: Address | None = None
    shared_secret: SharedSecret
    ike_version: Literal[1, 2] = 2
    """Behaviour 4.10.2."""
    local_traffic_selector: tuple[Range, ...] = (EVERYTHING,)
    remote_traffic_selector: tuple[Range, ...] = (EVERYTHING,)

    @model_validator(mode="after")
    def _one_gateway(self) -> Self:
        if (self.target_vpn_gateway is None) == (self.vpn_gateway is None):
            raise ValueError("exactly one of targetVpnGateway and vpnGateway must be given")
        if self.target_vpn_gateway is not None and self.peer_ip is None:
            raise ValueError("a tunnel of a classic gateway needs peerIp")
        if self.vpn_gateway is not None and {*self.local_traffic_selector, *self.remote_traffic_selector} != {
            EVERYTHING
        }:
            raise ValueError("traffic selectors are for classic VPN tunnels only")  # behaviour 4.10.4
        return self
