"""Whether the instances of a connector can report to Google, without which none gets healthy (behaviour 1.7.6)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from testbed.fabric.wiring import DEFAULT
from testbed.model.core.ranges import GOOGLE_API_VIPS
from testbed.model.serverless.connector import Connector
from testbed.model.topology import Topology

_, PRIVATE_VIP = GOOGLE_API_VIPS


def can_report(topology: Topology, connector: Connector) -> bool:
    """Whether a connector's network has a route to the default internet gateway by which it reaches Google's APIs.

    That is one for 0.0.0.0/0; or one for the addresses of private.googleapis.com, if the connector's subnet has Private
    Google Access, as the hidden subnet of a range always has (1.6.5).
    """
    routes = [IPv4Network(cidr) for cidr in _to_internet(topology, connector)]
    if IPv4Network(DEFAULT) in routes:
        return True
    access = connector.subnet is None or topology.subnetworks[connector.subnet_name].private_ip_google_access
    return access and any(PRIVATE_VIP.subnet_of(cidr) for cidr in routes)


def _to_internet(topology: Topology, connector: Connector) -> Iterator[str]:
    """The destinations of the routes to the default internet gateway that apply to the connector's instances."""
    name, tags = topology.connector_network(connector), {*connector.network_tags}
    for network in topology.networks:
        if network.full_name == name and not network.delete_default_routes_on_create:
            yield DEFAULT
    for route in topology.compute.routes:
        if route.network == name and route.next_hop_gateway and (not route.tags or tags & {*route.tags}):
            yield route.dest_range
