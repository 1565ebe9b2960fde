"""The rules between HA VPN gateways, tunnels and Cloud Routers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from testbed.model.problem import Problem
from testbed.model.walk import Path

if TYPE_CHECKING:
    from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that they break; all references are known to be right."""
    compute = topology.compute
    gateways = {gateway.full_name: gateway for gateway in compute.vpn_gateways}
    elsewhere = {gateway.full_name: gateway for gateway in compute.external_vpn_gateways}
    routers = {router.full_name: router for router in compute.routers}
    pairs: set[tuple[str, int, str]] = set()
    for i, tunnel in enumerate(compute.vpn_tunnels):
        path: Path = ("compute", "vpnTunnels", i)
        if tunnel.vpn_gateway is None:
            continue
        gateway = gateways[tunnel.vpn_gateway]
        if tunnel.region != gateway.region:
            message = f"{tunnel.name} is in {tunnel.region}, its gateway {gateway.name} is in {gateway.region}"
            yield Problem((*path, "vpnGateway"), message, gateway.name)
        router = routers[tunnel.router] if tunnel.router else None
        if router is not None and (router.network, router.region) != (gateway.network, gateway.region):
            message = f"router {router.name} is not in the network and region of gateway {gateway.name}"
            yield Problem((*path, "router"), message, router.name)
        if tunnel.peer_external_gateway is not None:
            known = {one.id for one in elsewhere[tunnel.peer_external_gateway].interfaces}
            if tunnel.peer_external_gateway_interface not in known:
                message = f"the peer has no interface {tunnel.peer_external_gateway_interface}"
                yield Problem((*path, "peerExternalGatewayInterface"), message, tunnel.peer_external_gateway_interface)
        peer = tunnel.peer_external_gateway or tunnel.peer_gcp_gateway or tunnel.peer_ip or ""
        number = tunnel.peer_external_gateway_interface if tunnel.peer_external_gateway else 0
        pair = (gateway.full_name, tunnel.vpn_gateway_interface, f"{peer} {number}")
        if pair in pairs:
            yield Problem(
                (*path, "vpnGatewayInterface"), "there is another tunnel between these two interfaces", number
            )
        pairs.add(pair)


def omissions(topology: Topology) -> Iterator[Problem]:
    """What a tunnel of an HA gateway lacks to carry packets: they are made before their routers' sessions."""
    linked = {one.linked_vpn_tunnel for router in topology.compute.routers for one in router.interfaces}
    for i, tunnel in enumerate(topology.compute.vpn_tunnels):
        path: Path = ("compute", "vpnTunnels", i)
        if tunnel.vpn_gateway is None:
            continue
        if not (tunnel.peer_external_gateway or tunnel.peer_gcp_gateway or tunnel.peer_ip):
            yield Problem(path, f"{tunnel.name} has no peer", tunnel.name)
        if tunnel.full_name not in linked:
            message = f"no interface of a router is linked to {tunnel.name}: HA VPN has BGP only (behaviour 4.10.1)"
            yield Problem(path, message, tunnel.name)
