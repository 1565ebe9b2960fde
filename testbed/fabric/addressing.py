"""Which address everything has.

Allocations are stable: what was given out before is kept, so that a change elsewhere never renumbers a running node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from testbed.errors import ResourceExhausted
from testbed.fabric.running import ConnectorInstance
from testbed.model.ranges import SERVERLESS, usable
from testbed.model.topology import Topology
from testbed.model.vpcaccess import Connector

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
PRODUCER_POOL = IPv4Network("10.255.0.0/16")
"""Where a Redis instance's /29 is taken from if none was asked for (our choice; Google picks one: behaviour 4.9.2)."""

FRONT_END = "front-end"
LOAD_GENERATOR = "load"


def runtime_node(workload: str, index: int) -> str:
    """The node name of one container instance of a workload: the workload's own for the first."""
    return workload if index == 0 else f"{workload}-{index + 1}"


def inner_address(outer: str) -> str:
    """The address of the runtime whose tunnels end at an outer address."""
    return str(INNER.network_address + (int(IPv4Address(outer)) - int(OUTER.network_address)))


def inner_share(outer: str) -> str:
    """The inner addresses that belong to a region's share of the outer ones."""
    share = IPv4Network(outer)
    return f"{inner_address(str(share.network_address))}/{share.prefixlen}"


def regions(topology: Topology) -> tuple[str, ...]:
    """The regions that have serverless workloads or connectors."""
    names = {w.region for w in topology.workloads if w.kind != "app-engine-flexible"}
    return tuple(sorted(names | {c.region for c in topology.vpcaccess.connectors}))


def allocate(topology: Topology, previous: Mapping[str, str]) -> dict[str, str]:
    """Every address that the topology leaves open, keyed by what it is for.

    Raises:
        ResourceExhausted: if a range has no address left.
    """
    shares = _resolve(_region_requests(topology), previous)
    return shares | _resolve(_host_requests(topology, shares), previous)


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
            return ConnectorInstance(f"{connector.id}-{serial:04d}", connector.name, str(address))
    raise ResourceExhausted(f"connector {connector.id} has no address left in {cidr}")


@dataclass(frozen=True, slots=True)
class _Request:
    """An address (or range) that something needs."""

    key: str
    pool: str
    """What the address must be unique in: a network, or a kind of pool."""
    candidates: Iterable[str] = ()
    given: str | None = None
    """The address that the topology gives."""


def _resolve(requests: Iterable[_Request], previous: Mapping[str, str]) -> dict[str, str]:
    """Answer requests: what is given, else what was given out before, else the first free candidate."""
    asked = list(requests)
    found = {r.key: value for r in asked if (value := r.given or previous.get(r.key)) is not None}
    taken = {(r.pool, found[r.key]) for r in asked if r.key in found}
    for request in asked:
        if request.key in found:
            continue
        value = next((c for c in request.candidates if (request.pool, c) not in taken), None)
        if value is None:
            raise ResourceExhausted(f"no address is left for {request.key}")
        found[request.key] = value
        taken.add((request.pool, value))
    return found


def _hosts(cidr: str | IPv4Network) -> Iterator[str]:
    return (str(address) for address in usable(str(cidr)))


def _region_requests(topology: Topology) -> Iterator[_Request]:
    for region in regions(topology):
        yield _Request(f"serverless/{region}", "outer", map(str, OUTER.subnets(new_prefix=PER_REGION)))
        yield _Request(f"pool/{region}", "direct", map(str, DIRECT_EGRESS_POOL.subnets(new_prefix=29)))


def _host_requests(topology: Topology, shares: Mapping[str, str]) -> Iterator[_Request]:
    yield _Request(FRONT_END, "external", _hosts(EXTERNAL_POOL))
    yield _Request(LOAD_GENERATOR, "internet", _hosts(INTERNET))
    for region in regions(topology):
        share = shares[f"serverless/{region}"]
        yield _Request(f"{FRONT_END}/{region}", region, _hosts(share))
        for workload in topology.workloads:
            if workload.region == region and workload.kind != "app-engine-flexible":
                for index in range(workload.instances):
                    yield _Request(runtime_node(workload.id, index), region, _hosts(share))
    yield from _vpc_requests(topology)
    yield from _external_requests(topology)
    for redis in topology.redis.instances:
        ranges = map(str, PRODUCER_POOL.subnets(new_prefix=29))
        yield _Request(f"{redis.full_name}/range", "producer", ranges, redis.reserved_ip_range)


def _vpc_requests(topology: Topology) -> Iterator[_Request]:
    """Internal addresses in subnets."""
    for instance in topology.compute.instances:
        subnet = topology.subnetworks[instance.nic.subnetwork]
        yield _Request(
            instance.full_name, subnet.network, _hosts(subnet.ip_cidr_range), given=instance.nic.network_ip
        )  # fmt: skip
    for workload, version in topology.flexible:
        subnet = topology.subnetworks[version.subnetwork_name]
        yield _Request(workload.name, subnet.network, _hosts(subnet.ip_cidr_range))


def _external_requests(topology: Topology) -> Iterator[_Request]:
    """External addresses; hosts outside the cloud keep theirs out of the pool."""
    for host in topology.internet.hosts:
        yield _Request(f"internet/{host.name}", "internet", given=host.address)
    for site in topology.on_prem.sites:
        yield _Request(f"site/{site.name}", "internet", given=site.gateway.external_address)
    for address in topology.compute.addresses:
        yield _Request(address.full_name, "external", _hosts(EXTERNAL_POOL), address.address)
    for instance in topology.compute.instances:
        for access in instance.nic.access_configs:
            yield _Request(f"{instance.full_name}/external", "external", _hosts(EXTERNAL_POOL), access.nat_ip)
    for router in topology.compute.routers:
        for nat in router.nats:
            if nat.nat_ip_allocate_option == "AUTO_ONLY":
                yield _Request(f"{router.full_name}/nats/{nat.name}", "external", _hosts(EXTERNAL_POOL))


def redis_host(cidr: str) -> str:
    """The address of a Redis instance: the fourth of its /29, as Google's have (recalled)."""
    return str(IPv4Network(cidr).network_address + 3)
