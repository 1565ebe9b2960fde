"""Classic Cloud VPN: gateway, forwarding rules and tunnels with static routes (behaviour 4.10)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from testbed.model.base import AddressRef, Compute, Constant, GatewayRef, NetworkRef, RegionName
from testbed.model.ranges import Address, Range


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


class VpnTunnel(Compute):
    """An IPsec tunnel between a classic VPN gateway and a peer."""

    collection: ClassVar[str] = "regions/-/vpnTunnels"

    region: RegionName
    target_vpn_gateway: GatewayRef
    peer_ip: Address
    shared_secret: str = Field(min_length=8, max_length=64, repr=False)
    ike_version: Literal[1, 2] = 2
    """Behaviour 4.10.2."""
    local_traffic_selector: tuple[Range, ...] = ("0.0.0.0/0",)
    remote_traffic_selector: tuple[Range, ...] = ("0.0.0.0/0",)
