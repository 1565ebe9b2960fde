"""What becomes of the routes that Cloud Routers learn by BGP (behaviour 4.11).

A Cloud Router speaks beside each of its tunnels, in the tunnel's node.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.allocation.running import Running
from testbed.model.bgp import REGION_COST, sessions
from testbed.model.compute.network import Network
from testbed.model.topology import Topology

MAX_PRIORITY = 65535
"""A dynamic route of a greater priority number counts as one of this (our choice)."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A dynamic route of a network."""

    destination: str
    priority: int
    """MED and the cost between regions."""
    node: str
    """Its next hop: the node of the tunnel that it was learned by."""
    region: str
    """Where that is."""


def learned(topology: Topology, running: Running, network: Network, region: str | None = None) -> list[Dynamic]:
    """The dynamic routes of a network: all of them, or those that apply in a region (behaviour 4.3.10).

    What lies in a range of the network is not believed: subnet routes cannot be overridden (behaviour 4.3.2).
    """
    if not running.learned:
        return []
    routers = {router.full_name: router for router in topology.compute.routers if router.network == network.full_name}
    ranges = [IPv4Network(cidr) for cidr in topology.ranges_of(network.full_name)]
    everywhere = network.routing_config.routing_mode == "GLOBAL"
    speakers = {
        running.name(NameKey.node(tunnel)): routers[session.router].region
        for tunnel, session in sessions(topology).items()
        if session.router in routers
    }
    found = []
    for route in running.learned:
        home = speakers.get(route.node)
        destination = IPv4Network(route.destination)
        if home is None or any(destination.subnet_of(cidr) for cidr in ranges):
            continue
        if region in (None, home) or everywhere:
            cost = 0 if region in (None, home) else REGION_COST
            priority = min(route.priority + cost, MAX_PRIORITY)
            found.append(Dynamic(route.destination, priority, route.node, home))
    return found
