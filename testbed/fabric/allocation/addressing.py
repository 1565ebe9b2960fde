"""Which address everything has.

Allocations are stable: what was given out before is kept, so that a change elsewhere never renumbers a running node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from typing import Generic, TypeVar

from testbed.errors import FailedPrecondition, GoogleText, ResourceExhausted
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.cloud_nat import address_keys
from testbed.fabric.allocation.keys import AddressKey, RangeKey, container_instances
from testbed.fabric.allocation.members import Member, members
from testbed.fabric.allocation.running import ConnectorInstance
from testbed.fabric.allocation.short_names import give
from testbed.model.core.ranges import CLOUD_DNS, SERVERLESS, usable
from testbed.model.core.resource import last
from testbed.model.core.well_known import connector_node
from testbed.model.managed.redis import PREFIX as REDIS_PREFIX
from testbed.model.serverless.connector import Connector
from testbed.model.topology import Topology

# The halves of the serverless range: outer addresses are the ends of tunnels, inner ones the runtimes' own.
# Google says no more than the range itself (behaviour 2.1.4); the split is our choice.
OUTER, INNER = SERVERLESS.subnets(prefixlen_diff=1)
PER_REGION = 24
"""Prefix length of each region's share of the outer addresses."""

EXTERNAL_POOL = IPv4Network("198.51.100.0/24")
"""External addresses that the testbed gives out: Cloud NAT, VPN gateways, VMs, the front end (RFC 5737)."""
DIRECT_EGRESS_POOL = IPv4Network("192.0.2.0/24")
"""The dynamic pool from which serverless runtimes reach the internet directly (behaviour 3.2.4; RFC 5737)."""
INTERNET = IPv4Network("203.0.113.0/24")
"""The internet segment's own hosts (RFC 5737)."""
INSIDE_POOL = IPv4Network("169.254.254.0/24")
"""The addresses, in their networks, of the nodes of route-based tunnels: they send ICMP errors under them."""
NO_BLOCKS = "Couldn't find free blocks in allocated IP ranges. Please allocate new ranges for this service provider."
"""Google's words for an instance that finds no room in the ranges of its private connection (as users report them)."""
PRODUCER_POOL = IPv4Network("10.255.0.0/16")
"""Where a Redis instance's /29 is taken from if none was asked for (our choice; Google picks one: behaviour 4.9.2)."""


def inner_address(outer: str) -> str:
    """The address of the runtime whose tunnels end at an outer address."""
    return str(INNER.network_address + (int(IPv4Address(outer)) - int(OUTER.network_address)))


def inner_share(outer: str) -> str:
    """The inner addresses that belong to a region's share of the outer ones."""
    share = IPv4Network(outer)
    return f"{inner_address(str(share.network_address))}/{share.prefixlen}"


def allocate(topology: Topology, previous: Allocations) -> Allocations:
    """Every address and range that the topology leaves open, and the names of nodes and segments.

    Raises:
        FailedPrecondition: if the topology gives an address to something that something else has by now.
        ResourceExhausted: if a range has no address left.
    """
    names = give(topology, previous.names)
    shares = _resolve(_region_requests(topology), previous.ranges)
    ranges = shares | _resolve(_redis_requests(topology), previous.ranges)
    addresses = _resolve(_host_requests(topology, shares), previous.addresses)
    return Allocations(addresses, ranges, names)


def next_instance(
    connector: Connector, cidr: str, present: Iterable[ConnectorInstance], serial: int
) -> ConnectorInstance:
    """A further instance of a connector, with the lowest address that no present instance has.

    Raises:
        ResourceExhausted: if the /28 has no usable address left (12 fit: behaviour 1.6.10).
    """
    taken = {instance.address for instance in present if instance.connector == connector.name}
    for address in usable(cidr):
        if str(address) not in taken:
            return ConnectorInstance(
                connector_node(connector.id, serial), connector.name, str(address), machine_type=connector.machine_type
            )
    raise ResourceExhausted(f"connector {connector.id}: no address is left in {cidr}")


K = TypeVar("K", AddressKey, RangeKey)


@dataclass(frozen=True, slots=True)
class _Request(Generic[K]):
    """An address, or a range, that something needs."""

    key: K
    pool: str
    """What the address must be unique in: a network, or a kind of pool."""
    within: IPv4Network
    """Where it is taken from unless it is given."""
    given: str | None = None
    """The address that the topology gives."""
    prefix: int = 32
    """Prefix length of what is needed: an address, or a range."""
    avoid: tuple[IPv4Network, ...] = ()
    """Ranges that it must not overlap."""
    reserved: bool = False
    """Whether it is set aside for something else, which may be given it: a reserved address."""
    ephemeral: bool = False
    """Whether its address may become a reserved one, and stay its own: the NIC of a VM."""
    makes_room: bool = False
    """Whether it takes another address when somebody else is given its own: nobody has asked for this one."""
    further: tuple[IPv4Network, ...] = ()
    """Where it is taken from as well."""
    exhausted: str = ""
    """What is said if nothing is left."""

    def candidates(self) -> Iterator[str]:
        """What would do, in order."""
        if self.prefix == 32:
            return map(str, usable(str(self.within)))
        pools = (pool for pool in (self.within, *self.further) if pool.prefixlen <= self.prefix)
        subnets = chain.from_iterable(pool.subnets(new_prefix=self.prefix) for pool in pools)
        return (str(cidr) for cidr in subnets if self._is_free(cidr))

    def takes(self, value: str) -> bool:
        """Whether what was given out before is still of the right kind: a subnet may have been changed."""
        network = IPv4Network(value)
        inside = any(network.subnet_of(pool) for pool in (self.within, *self.further))
        return inside and network.prefixlen == self.prefix and self._is_free(network)

    def _is_free(self, cidr: IPv4Network) -> bool:
        return not any(cidr.overlaps(other) for other in self.avoid)


def _resolve(requests: Iterable[_Request[K]], previous: Mapping[K, str]) -> dict[K, str]:
    """Answer requests: what is given, else what was given out before, else the first free candidate."""
    asked = list(requests)
    reserved = {request.key for request in asked if request.reserved}
    found = {request.key: request.given for request in asked if request.given is not None}
    taken = {(request.pool, found[request.key]): request.key for request in asked if request.key in found}
    for request in asked:
        value = previous.get(request.key)
        if request.key in found or value is None or not request.takes(value):
            continue
        holder = taken.get((request.pool, value))
        shared = request.ephemeral if holder in reserved else request.reserved
        if holder is not None and not shared:
            if request.makes_room:
                continue
            raise FailedPrecondition(
                GoogleText(f"IP '{value}' is already being used by another resource: {request.key}"),
                hint=f"give {holder} another address",
            )
        found[request.key] = value
        taken.setdefault((request.pool, value), request.key)
    for request in asked:
        if request.key not in found:
            value = next((c for c in request.candidates() if (request.pool, c) not in taken), None)
            if value is None:
                raise ResourceExhausted(
                    request.exhausted or f"no address is left in {request.within} for {request.key}"
                )
            found[request.key] = value
            taken[request.pool, value] = request.key
    return found


def _region_requests(topology: Topology) -> Iterator[_Request[RangeKey]]:
    for region in topology.serverless_regions:
        yield _Request(RangeKey.outer_share(region), "outer", OUTER, prefix=PER_REGION)
        yield _Request(RangeKey.egress_pool(region), "direct", DIRECT_EGRESS_POOL, prefix=29)


def _host_requests(topology: Topology, shares: Mapping[RangeKey, str]) -> Iterator[_Request[AddressKey]]:
    for region in topology.serverless_regions:
        share = IPv4Network(shares[RangeKey.outer_share(region)])
        yield _Request(AddressKey.front_end_in(region), region, share)
        for workload in topology.workloads:
            if workload.region == region and workload.kind != "app-engine-flexible":
                for one in container_instances(workload):
                    yield _Request(AddressKey.outer(one), region, share)
    yield from _vpc_requests(topology)
    yield from _external_requests(topology)
    yield from _tunnel_requests(topology)
    for place in (*(network.full_name for network in topology.compute.networks), *topology.serverless_regions):
        yield _Request(AddressKey.name_server(place), "dns", CLOUD_DNS)


def _redis_requests(topology: Topology) -> Iterator[_Request[RangeKey]]:
    """The /29 of each Redis instance: of an allocated range, if it is reached by a private connection (4.9.3)."""
    in_use = tuple(IPv4Network(cidr) for cidr in ranges_in_use(topology))
    allocated = {one.full_name: IPv4Network(one.range) for one in topology.compute.global_addresses}
    for redis in topology.redis.instances:
        key, connection = RangeKey.redis(redis.full_name), topology.connection(redis)
        if connection is None:
            yield _Request(key, "producer", PRODUCER_POOL, redis.given_range, prefix=REDIS_PREFIX, avoid=in_use)
        else:
            chosen = (name for name in connection.ranges if redis.reserved_ip_range in (None, last(name)))
            first, *others = (allocated[name] for name in chosen)
            pool = redis.authorized_network
            yield _Request(
                key, f"services/{pool}", first, prefix=REDIS_PREFIX, further=tuple(others), exhausted=NO_BLOCKS
            )


def ranges_in_use(topology: Topology) -> Iterator[str]:
    """Every range that is in use somewhere."""
    yield from (subnet.ip_cidr_range for subnet in topology.compute.subnetworks)
    yield from map(topology.connector_range, topology.vpcaccess.connectors)
    yield from (redis.given_range for redis in topology.redis.instances if redis.given_range)
    yield from (site.range for site in topology.on_prem.sites)
    yield from (address.range for address in topology.compute.global_addresses)


def _vpc_requests(topology: Topology) -> Iterator[_Request[AddressKey]]:
    """Internal addresses in subnets.  VMs choose first, then who reserves some: of the others none has a given one."""
    known = [*members(topology)]
    yield from (replace(_member_request(one), ephemeral=True) for one in known if one.kind == "vm")
    for address in topology.compute.addresses:
        if address.subnetwork is not None:
            subnet = topology.subnetworks[address.subnetwork]
            within = IPv4Network(subnet.ip_cidr_range)
            key = AddressKey.reserved(address.full_name)
            yield _Request(key, subnet.network, within, address.address, reserved=True)
    yield from (_member_request(one) for one in known if one.kind != "vm")


def _member_request(one: Member) -> _Request[AddressKey]:
    return _Request(one.key, one.network, IPv4Network(one.range), one.given)


def _external_requests(topology: Topology) -> Iterator[_Request[AddressKey]]:
    """Addresses on the internet."""

    def request(key: AddressKey, given: str | None = None, within: IPv4Network = EXTERNAL_POOL) -> _Request[AddressKey]:
        return _Request(key, "internet", within, given, makes_room=given is None)

    yield request(AddressKey.front_end())
    yield request(AddressKey.load_generator(), within=INTERNET)
    for host in topology.internet.hosts:
        yield request(AddressKey.internet_host(host.name), host.address)
    for site in topology.on_prem.sites:
        if site.gateway:
            yield request(AddressKey.site_gateway(site.name), site.gateway.external_address)
    for address in (one for one in topology.compute.addresses if one.address_type == "EXTERNAL"):
        reserved = request(AddressKey.reserved(address.full_name), address.address)
        yield replace(reserved, reserved=True, makes_room=False)
    for instance in topology.compute.instances:
        for access in instance.nic.access_configs:
            yield replace(request(AddressKey.external(instance.full_name), access.nat_ip), ephemeral=True)
    for router in topology.compute.routers:
        for nat in (one for one in router.nats if not one.nat_ips):
            yield from map(request, address_keys(topology, router, nat))


def _tunnel_requests(topology: Topology) -> Iterator[_Request[AddressKey]]:
    for gateway in topology.compute.vpn_gateways:
        for one in gateway.vpn_interfaces:
            key = AddressKey.vpn_interface(gateway.full_name, one.id)
            yield _Request(key, "internet", EXTERNAL_POOL, one.ip_address)
    for tunnel in topology.compute.vpn_tunnels:
        if tunnel.vpn_gateway is not None:
            yield _Request(AddressKey.inside(tunnel.full_name), "inside", INSIDE_POOL)
    for attachment in topology.compute.interconnect_attachments:
        yield _Request(AddressKey.inside(attachment.full_name), "inside", INSIDE_POOL)
    for site in topology.on_prem.sites:
        for index in range(1, site.way_out.ends):
            yield _Request(AddressKey.inside_site(site.name, index), "inside", INSIDE_POOL)


def redis_host(cidr: str) -> str:
    """The address of a Redis instance: the fourth of its /29, as Google's have (recalled)."""
    return str(IPv4Network(cidr).network_address + 3)
