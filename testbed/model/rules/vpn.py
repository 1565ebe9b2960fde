"""The rules between VPN gateways, their forwarding rules, tunnels and Cloud Routers."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.hybrid.vpn import NEEDED, external_address
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
    """What gateways and tunnels lack to carry packets: they are made before forwarding rules and BGP sessions."""
    yield from _classic_gateways(topology)
    linked = {one.linked_vpn_tunnel for router in topology.compute.routers for one in router.interfaces}
    for i, tunnel in enumerate(topology.compute.vpn_tunnels):
        path: Path = ("compute", "vpnTunnels", i)
        if tunnel.vpn_gateway is None:
            continue
        if not (tunnel.peer_external_gateway or tunnel.peer_gcp_gateway or tunnel.peer_ip):
            yield Problem(path, f"{tunnel.name} has no peer", tunnel.name)
        if tunnel.full_name not in linked:
            message = f"no interface of a router is linked to {tunnel.name}: HA VPN has BGP only"  # behaviour 4.10.1
            yield Problem(path, message, tunnel.name)


def _classic_gateways(topology: Topology) -> Iterator[Problem]:
    """A classic gateway needs three forwarding rules with one address."""
    rules = topology.compute.forwarding_rules
    for i, gateway in enumerate(topology.compute.target_vpn_gateways):
        have = {(r.ip_protocol, r.port_range) for r in rules if r.target == gateway.full_name}
        path: Path = ("compute", "targetVpnGateways", i)
        if missing := NEEDED - have:
            what = ", ".join(sorted(" ".join(filter(None, item)) for item in missing))
            yield Problem(path, f"{gateway.name} has no forwarding rule for {what}", gateway.name)
        elif external_address(gateway.full_name, rules) is None:
            yield Problem(path, f"the forwarding rules of {gateway.name} have different addresses", gateway.name)
