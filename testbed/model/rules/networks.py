"""The rules between networks, subnets, addresses, routes and routers: ranges do not overlap, and fit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Network
from typing import NamedTuple

from testbed.errors import GoogleText
from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.core.ranges import is_usable
from testbed.model.peering import active, offered
from testbed.model.topology import Topology

_cidr = lru_cache(maxsize=1 << 12)(IPv4Network)


class _InUse(NamedTuple):
    """A range of a network, and what has it."""

    path: Path
    network: str
    range: IPv4Network
    owner: str
    subnetwork: tuple[str, str] | None = None
    """Name and region, if that is a subnetwork."""
    resource: str | None = None
    """The full name of a subnetwork, or of a range that is set aside."""


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that networks and what belongs to them break; all references are known to be right."""
    ranges = list(_ranges(topology))
    yield from _overlaps(topology, ranges)
    yield from _routes(topology, ranges)
    yield from _legacy(topology)
    yield from _internal_addresses(topology)
    yield from _nats(topology)


def _ranges(topology: Topology) -> Iterator[_InUse]:
    for i, subnet in enumerate(topology.compute.subnetworks):
        path: Path = ("compute", "subnetworks", i)
        known = f"subnetwork {subnet.name}", (subnet.name, subnet.region), subnet.full_name
        yield _InUse((*path, "ipCidrRange"), subnet.network, _cidr(subnet.ip_cidr_range), *known)
        for j, second in enumerate(subnet.secondary_ip_ranges):
            inner = (*path, "secondaryIpRanges", j, "ipCidrRange")
            yield _InUse(inner, subnet.network, _cidr(second.ip_cidr_range), *known)
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.network and connector.ip_cidr_range:
            path = ("vpcaccess", "connectors", i, "ipCidrRange")
            yield _InUse(path, connector.network, _cidr(connector.ip_cidr_range), f"connector {connector.id}")
    for i, redis in enumerate(topology.redis.instances):
        if redis.given_range:
            path = ("redis", "instances", i, "reservedIpRange")
            owner = f"Redis instance {redis.id}"
            yield _InUse(path, redis.authorized_network, _cidr(redis.given_range), owner)
    for i, address in enumerate(topology.compute.global_addresses):
        path = ("compute", "globalAddresses", i, "address")
        yield _InUse(path, address.network, _cidr(address.range), address.name, resource=address.full_name)


def _overlaps(topology: Topology, ranges: Sequence[_InUse]) -> Iterator[Problem]:
    """Ranges are unique in a network and among the networks that it is peered with (behaviour 4.4.1, 1.6.3, 4.5.5).

    What stands last in the topology is at fault.
    """
    by_network: dict[str, list[int]] = {}
    for index, one in enumerate(ranges):
        by_network.setdefault(one.network, []).append(index)
    together: dict[str, list[str]] = {network.full_name: [] for network in topology.networks}
    for mine, theirs in active(topology.networks):
        together[mine].append(theirs)
    found: set[tuple[int, int]] = set()
    for network, peers in together.items():
        indices = [index for name in (network, *peers) for index in by_network.get(name, ())]
        indices.sort(key=lambda index: (ranges[index].range.network_address, ranges[index].range.prefixlen))
        widest: int | None = None
        for index in indices:
            if widest is not None and ranges[index].range.subnet_of(ranges[widest].range):
                found.add((min(index, widest), max(index, widest)))
            else:
                widest = index
    for first, second in sorted(found):
        yield _conflict(ranges[first], ranges[second])


def _conflict(there: _InUse, new: _InUse) -> Problem:
    """Two ranges that overlap."""
    if there.network != new.network:
        in_peer = (
            f"An IP range in the peer network ({new.range}) overlaps with an IP range in the local network"
            f" ({there.range}) allocated by resource ({there.resource or there.owner})."
        )
        return Problem(new.path, GoogleText(in_peer))
    if there.subnetwork and new.subnetwork:
        name, region = there.subnetwork
        beside = f"Invalid IPCidrRange: {new.range} conflicts with existing subnetwork '{name}' in region '{region}'."
        return Problem(new.path, GoogleText(beside))
    for one, other in ((there, new), (new, there)):  # whichever was there first
        if one.resource and not one.subnetwork:
            allocated = (
                f"Invalid IP CIDR range: {other.range} conflicts with IP range {one.range} that was allocated by"
                f" resource {one.resource}."
            )
            return Problem(new.path, GoogleText(allocated))
    message = f"the range {new.range} of {new.owner} overlaps {there.range} of {there.owner}"
    return Problem(new.path, message, str(new.range))


def _routes(topology: Topology, ranges: Sequence[_InUse]) -> Iterator[Problem]:
    """No static route leads into a subnet of its network or of a peer (behaviour 4.3.5).  The text is Google's."""
    if not topology.compute.routes:
        return
    known: dict[str, list[IPv4Network]] = {}
    for used in ranges:
        known.setdefault(used.network, []).append(used.range)
    for (mine, theirs), sides in active(topology.networks).items():
        found = offered(topology, theirs, sides.theirs, sides.mine)
        subnets = (route for route in found if route.type == "SUBNET_PEERING_ROUTE" and route.imported)
        known.setdefault(mine, []).extend(_cidr(route.range) for route in subnets)
    for i, route in enumerate(topology.compute.routes):
        destination = _cidr(route.dest_range)
        hidden = next((cidr for cidr in known.get(route.network, ()) if destination.subnet_of(cidr)), None)
        if hidden is not None:
            message = (
                f"{destination} hides the address space of the network ({hidden}). Cannot change the routing of packets"
                " destined for the network."
            )
            yield Problem(("compute", "routes", i, "destRange"), GoogleText(message), route.dest_range)


def _legacy(topology: Topology) -> Iterator[Problem]:
    """A legacy network has no subnets and no connectors (behaviour 4.4.8); and so, here, no instances."""
    legacy = {network.full_name for network in topology.compute.networks if network.legacy}
    if not legacy:
        return
    for i, subnet in enumerate(topology.compute.subnetworks):
        if subnet.network in legacy:
            message = "a legacy network cannot have subnetworks"  # behaviour 4.4.8
            yield Problem(("compute", "subnetworks", i, "network"), message, subnet.network)
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if topology.connector_network(connector) in legacy:
            unsupported = GoogleText("Serverless VPC Access does not support legacy networks.")  # behaviour 4.4.8
            yield Problem(("vpcaccess", "connectors", i, "network"), unsupported, connector.network)


def _internal_addresses(topology: Topology) -> Iterator[Problem]:
    """An internal address is one of its subnet that a NIC could have, and reserved once."""
    seen: set[tuple[str, str]] = set()
    for i, address in enumerate(topology.compute.addresses):
        if address.subnetwork is None:
            continue
        path: Path = ("compute", "addresses", i)
        subnet = topology.subnetworks[address.subnetwork]
        if subnet.region != address.region:
            message = f"{address.name} is in {address.region}, its subnetwork {subnet.name} is in {subnet.region}"
            yield Problem((*path, "subnetwork"), message, subnet.name)
        if address.address is None:
            continue
        if not is_usable(subnet.ip_cidr_range, address.address):
            message = f"{address.address} is not a usable address of {subnet.ip_cidr_range}"  # behaviour 4.4.5
            yield Problem((*path, "address"), message, address.address)
        if (subnet.network, address.address) in seen:
            taken = GoogleText(f"IP '{address.address}' is already being used by another resource.")
            yield Problem((*path, "address"), taken, address.address)
        seen.add((subnet.network, address.address))


def _nats(topology: Topology) -> Iterator[Problem]:
    """A subnet has one NAT gateway at most, and so has a reserved address; that is an external one of the region."""
    addresses = {address.full_name: address for address in topology.compute.addresses}
    of_subnet: dict[str, str] = {}
    of_address: dict[str, str] = {}
    for i, router in enumerate(topology.compute.routers):
        for j, nat in enumerate(router.nats):
            path: Path = ("compute", "routers", i, "nats", j)
            for subnet in topology.compute.subnetworks:
                chosen = not nat.subnetworks or subnet.full_name in {entry.name for entry in nat.subnetworks}
                mine = (subnet.network, subnet.region) == (router.network, router.region)
                if chosen and mine and of_subnet.setdefault(subnet.full_name, nat.name) != nat.name:
                    message = f"subnetwork {subnet.name} has NAT gateway {of_subnet[subnet.full_name]} already"
                    yield Problem((*path, "sourceSubnetworkIpRangesToNat"), message, nat.name)
                    break
            for k, name in enumerate(nat.nat_ips):
                given = addresses[name]
                if given.address_type != "EXTERNAL" or given.region != router.region:
                    message = f"{given.name} is not an external address of {router.region}"
                    yield Problem((*path, "natIps", k), message, name)
                if of_address.setdefault(name, nat.name) != nat.name:
                    message = f"{given.name} is an address of NAT gateway {of_address[name]} already"
                    yield Problem((*path, "natIps", k), message, name)
