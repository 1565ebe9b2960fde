"""VPC Network Peering: which networks are peered, and which routes they exchange (behaviour 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Literal, NamedTuple

from testbed.model.compute.network import Network, Peering
from testbed.model.core.ranges import PRIVATE
from testbed.model.topology import Topology


class Sides(NamedTuple):
    """An active peering, as one of its networks sees it."""

    mine: Peering
    theirs: Peering


class Exchanged(NamedTuple):
    """A route of one network that the other may import."""

    range: str
    type: Literal["SUBNET_PEERING_ROUTE", "STATIC_PEERING_ROUTE"]
    priority: int
    imported: bool


def active(networks: Iterable[Network]) -> Mapping[tuple[str, str], Sides]:
    """The active peerings by the full names of both networks, in both orders: each side has made its own (4.5.1)."""
    made = {(n.full_name, peering.network): peering for n in networks for peering in n.peerings}
    return {(a, b): Sides(mine, made[b, a]) for (a, b), mine in made.items() if (b, a) in made}


def offered(
    topology: Topology, owner: str, export: Peering, into: Peering, further: Iterable[str] = ()
) -> Iterator[Exchanged]:
    """The routes that a network exports to another, by its own side of the peering and by the other's.

    `further` are ranges of the network that only the running state knows: those of a producer (behaviour 4.9.3).
    Never exported: routes with tags or to the default internet gateway (behaviour 4.5.3), and what is imported itself
    (4.5.4).
    """
    for cidr in (*topology.ranges_of(owner), *further):
        private = any(IPv4Network(cidr).subnet_of(known) for known in PRIVATE)
        if private or export.export_subnet_routes_with_public_ip:
            imported = private or into.import_subnet_routes_with_public_ip
            yield Exchanged(cidr, "SUBNET_PEERING_ROUTE", 0, imported)
    for route in topology.compute.routes if export.export_custom_routes else ():
        if route.network == owner and not route.next_hop_gateway and not route.tags:
            yield Exchanged(route.dest_range, "STATIC_PEERING_ROUTE", route.priority, into.import_custom_routes)
