"""Dynamic routes in VPC networks: what BGP has learned, behind static routes of equal priority.

The main table of a network has all of them.  A region in which others apply (behaviour 4.3.10) has a table of its own,
for packets from its subnets: all routes of the network, with the dynamic ones of the region.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from testbed.fabric.bgp import Dynamic, learned
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import MAIN_TABLE, PolicyRule, Route
from testbed.fabric.running import Running
from testbed.fabric.vpc import Vpc, route_metric
from testbed.fabric.wiring import Space
from testbed.model.network import Network
from testbed.model.peering import active
from testbed.model.topology import Topology

_REGION_RULE = 2000
_FIRST_TABLE = 2000


def install(topology: Topology, running: Running, vpcs: Mapping[str, Vpc]) -> None:
    """Add the dynamic routes of all networks, when all others are there."""
    peers = active(topology.compute.networks)
    installed: list[tuple[Space, Network, frozenset[Route]]] = []
    for network in topology.compute.networks:
        space = vpcs[network.full_name].space
        found = learned(topology, running, network)
        for (mine, theirs), sides in peers.items():
            if mine == network.full_name and sides.mine.export_custom_routes and sides.theirs.import_custom_routes:
                for destination, priority in _exported(found):  # behaviour 4.5.3
                    vpcs[theirs].learn(vpcs[mine], destination, priority)
        routes = frozenset(_routes(space, found))
        installed.append((space, network, routes))
    for space, network, routes in installed:
        others = frozenset(route for route in space.routes if route.table == MAIN_TABLE)
        space.routes |= routes
        regions = _ranges(topology, network.full_name)
        for index, (region, cidrs) in enumerate(sorted(regions.items())):
            regional = frozenset(_routes(space, learned(topology, running, network, region)))
            if regional != routes:
                table = _FIRST_TABLE + index
                space.routes |= {replace(route, table=table) for route in others | regional}
                space.rules |= {PolicyRule(_REGION_RULE, cidr, table) for cidr in cidrs}


def _exported(routes: Iterable[Dynamic]) -> Iterator[tuple[str, int]]:
    """Each destination once, with its best priority."""
    best: dict[str, int] = {}
    for route in routes:
        best[route.destination] = min(route.priority, best.get(route.destination, route.priority))
    return iter(best.items())


def _routes(space: Space, found: Iterable[Dynamic]) -> Iterator[Route]:
    """The routes to tunnels; static ones of equal priority come first (behaviour 4.3.5)."""
    best: dict[tuple[str, int], Route] = {}
    hops = {neighbour.device: neighbour for neighbour in space.neighbours}
    for route in found:
        hop = hops.get(interface_name(route.node))
        if hop is not None:
            metric = route_metric(route.priority) + 1
            best.setdefault(
                (route.destination, metric), Route(route.destination, hop.device, hop.address, metric=metric)
            )
    return iter(best.values())


def _ranges(topology: Topology, network: str) -> dict[str, list[str]]:
    """The ranges of a network by region."""
    found: dict[str, list[str]] = {}
    for subnet in topology.compute.subnetworks:
        if subnet.network == network:
            found.setdefault(subnet.region, []).append(subnet.ip_cidr_range)
    for connector in topology.connectors_in(network):
        cidr = topology.connector_range(connector)
        if cidr not in found.setdefault(connector.region, []):
            found[connector.region].append(cidr)
    return found
