"""Cloud VPN (behaviour 4.10): classic gateways, their forwarding rules, and tunnels with static routes.

Tunnels of HA VPN gateways can be made, but carry no packets: HA VPN has dynamic routing only (behaviour 4.10.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from testbed.model.base import AddressRef, Compute, Constant, GatewayRef, NetworkRef, Reference, RegionName
from testbed.model.ranges import Address, Range

HaGatewayRef = Annotated[str, Reference("regions/-/vpnGateways", required=False)]
"""Packets know nothing of HA VPN gateways: whether there is one is the API's to see."""


class TargetVpnGateway(Compute):
    """A classic VPN gateway."""

    collection: ClassVar[str] = "regions/-/targetVpnGateways"

    network: NetworkRef
    region: RegionName


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value  # a port in YAML is a number


class ForwardingRule(Compute):
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


class VpnTunnel(Compute):
    """An IPsec tunnel between a VPN gateway and a peer."""

    collection: ClassVar[str] = "regions/-/vpnTunnels"

    region: RegionName
    target_vpn_gateway: GatewayRef | None = None
    vpn_gateway: HaGatewayRef | None = None
    """An HA VPN gateway."""
    peer_ip: Address | None = None
    shared_secret: str = Field(min_length=8, max_length=64, repr=False)
    ike_version: Literal[1, 2] = 2
    """Behaviour 4.10.2."""
    local_traffic_selector: tuple[Range, ...] = ("0.0.0.0/0",)
    remote_traffic_selector: tuple[Range, ...] = ("0.0.0.0/0",)

    @model_validator(mode="after")
    def _one_gateway(self) -> Self:
        if (self.target_vpn_gateway is None) == (self.vpn_gateway is None):
            raise ValueError("exactly one of targetVpnGateway and vpnGateway must be given")
        if self.target_vpn_gateway is not None and self.peer_ip is None:
            raise ValueError("a tunnel of a classic gateway needs peerIp")
        return self
