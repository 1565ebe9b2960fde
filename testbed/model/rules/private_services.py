"""The rules between private connections, their ranges, and the Redis instances behind them (behaviour 4.9)."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.errors import GoogleText
from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.core.resource import segment
from testbed.model.managed.redis import RedisInstance
from testbed.model.topology import Topology

NOT_ENABLED = "Google private service access is not enabled. Enable private service access and try again."
"""What the creation of an instance ends with whose network has no private connection (as users report it)."""
OTHER_PROJECT = "authorized_network must exist in the same project as redis instance"
"""In Google's words, as users have reported them (terraform-google-memorystore 29 and 107); a network that is shared
needs PRIVATE_SERVICE_ACCESS (behaviour 4.9.6)."""


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that is broken; all references are known to be right."""
    networks = {address.full_name: address.network for address in topology.compute.global_addresses}
    for i, connection in enumerate(topology.servicenetworking.connections):
        for j, name in enumerate(connection.ranges):
            if networks[name] != connection.network:
                given = connection.reserved_peering_ranges[j]
                message = f"'{given}' is not a range of {connection.network} for VPC_PEERING"
                yield Problem(("servicenetworking", "connections", i, "reservedPeeringRanges", j), message, given)
    for i, redis in enumerate(topology.redis.instances):
        yield from _redis(topology, redis, ("redis", "instances", i))


def _redis(topology: Topology, redis: RedisInstance, path: Path) -> Iterator[Problem]:
    connection, network = topology.connection(redis), redis.authorized_network
    if redis.direct:
        if segment(network, "projects") != segment(redis.full_name, "projects"):
            yield Problem((*path, "authorizedNetwork"), GoogleText(OTHER_PROJECT), network)
    elif connection is None:
        yield Problem((*path, "connectMode"), GoogleText(NOT_ENABLED), redis.connect_mode)
    elif redis.reserved_ip_range not in (None, *connection.reserved_peering_ranges):
        message = (
            f"'{redis.reserved_ip_range}' is not a range of the private connection of {network}"  # behaviour 4.9.3
        )
        yield Problem((*path, "reservedIpRange"), message, redis.reserved_ip_range)
