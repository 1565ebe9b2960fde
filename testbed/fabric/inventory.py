"""Who is in a network: the one list, for the compiler and for everybody who tells of what is there.

Only the oracle makes its own, since it is the second opinion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from testbed.fabric.allocation.addressing import redis_host
from testbed.fabric.allocation.keys import AddressKey, NameKey, RangeKey
from testbed.fabric.allocation.members import MemberKind, members
from testbed.fabric.allocation.running import Running
from testbed.model.managed_rules import for_redis
from testbed.model.topology import Topology

ParticipantKind = Literal[MemberKind, "connector", "redis", "gateway"]
"""Participants that are not members: instances of connectors and Redis, nodes of VPN gateways and attachments."""
_SENDERS: tuple[ParticipantKind, ...] = ("vm", "connector", "flexible", "direct")
_VMS: tuple[ParticipantKind, ...] = ("vm", "connector", "flexible")


@dataclass(frozen=True, slots=True)
class Participant:
    """A NIC in a network, with what it was given."""

    kind: ParticipantKind
    owner: str
    """The full name of the resource that it belongs to: a VM, a workload, a connector, a Redis instance, a tunnel."""
    name: str
    """What Google calls the machine, as far as that is known: else what its node is called."""
    node: str
    """What its node is called."""
    network: str
    """The full name of the network; of a producer with direct peering, that of the Redis instance."""
    subnetwork: str | None
    """The full name of its subnet, if that has one."""
    range: str
    """Where its address is from: its subnet's range, or none."""
    region: str
    address: str
    external: str | None = None
    """Its own external address."""
    tags: frozenset[str] = frozenset()
    service_accounts: frozenset[str] = frozenset()
    forwards: bool = False
    """Whether it may send, and is given, packets of other addresses."""
    runs: bool = True

    @property
    def behind_nat(self) -> bool:
        """Whether a Cloud NAT gateway may have to serve it (behaviour 4.13.1).

        It serves interfaces without an external address of their own.  Connector instances count as VMs (behaviour
        4.13.5).  So do instances with Direct VPC egress: they send under an address of the subnet, and Cloud NAT
        serves them (behaviour 7.2).
        """
        return self.kind in _SENDERS and self.runs and self.external is None

    @property
    def is_vm(self) -> bool:
        """Whether the firewall's log tells of it as a VM (behaviour 4.1.15).

        An instance with Direct VPC egress is none, although Cloud NAT serves it: it is its service's (behaviour 7.2).
        """
        return self.kind in _VMS


def participants(topology: Topology, running: Running) -> tuple[Participant, ...]:
    """Everything that is in a network, stopped VMs among it; what was given no address yet is being made."""
    return (
        *_members(topology, running, "vm"),
        *_connector_instances(topology, running),
        *_members(topology, running, "flexible"),
        *_members(topology, running, "direct"),
        *_redis(topology, running),
        *_gateways(topology, running),
    )


def require(topology: Topology, running: Running) -> None:
    """See that whatever the topology puts into a network was given its address.

    Raises:
        KeyError: something was not; the allocations are those of another topology.
    """
    for one in members(topology):
        running.address(one.key)
    for redis in topology.redis.instances:
        running.range(RangeKey.redis(redis.full_name))


def of_network(topology: Topology, running: Running, network: str) -> tuple[Participant, ...]:
    """Those of one network, by its full name."""
    return tuple(one for one in participants(topology, running) if one.network == network)


def _members(topology: Topology, running: Running, kind: MemberKind) -> Iterator[Participant]:
    given = running.allocations
    for one in members(topology):
        if one.kind != kind or one.key not in given.addresses or one.node not in given.names:
            continue
        node = running.name(one.node)
        yield Participant(
            kind=one.kind,
            owner=one.owner,
            name=one.name or node,
            node=node,
            network=one.network,
            subnetwork=one.subnetwork,
            range=one.range,
            region=one.region,
            address=running.address(one.key),
            external=given.addresses.get(one.external) if one.external else None,
            tags=one.tags,
            service_accounts=one.service_accounts,
            forwards=one.forwards,
            runs=one.runs,
        )


def _connector_instances(topology: Topology, running: Running) -> Iterator[Participant]:
    connectors = {connector.name: connector for connector in topology.vpcaccess.connectors}
    for instance in running.instances:
        connector = connectors.get(instance.connector)
        if connector is None:  # it is being removed
            continue
        network, cidr = topology.connector_network(connector), topology.connector_range(connector)
        yield Participant(
            kind="connector",
            owner=connector.name,
            name=instance.name,
            node=instance.name,
            network=network,
            subnetwork=_named(topology, network, cidr),
            range=cidr,
            region=connector.region,
            address=instance.address,
            tags=frozenset(connector.network_tags),
        )


def _named(topology: Topology, network: str, cidr: str) -> str | None:
    """The subnet of a connector, unless it is hidden (behaviour 2.4.1)."""
    subnets = (one for one in topology.compute.subnetworks if (one.network, one.ip_cidr_range) == (network, cidr))
    return next((one.full_name for one in subnets), None)


def _redis(topology: Topology, running: Running) -> Iterator[Participant]:
    """Redis instances, in the networks of their producers."""
    given = running.allocations
    for redis in topology.redis.instances:
        key, node = RangeKey.redis(redis.full_name), NameKey.node(redis.full_name)
        if key in given.ranges and node in given.names:
            connection = topology.connection(redis)
            yield Participant(
                kind="redis",
                owner=redis.full_name,
                name=redis.id,
                node=running.name(node),
                network=connection.producer if connection else redis.full_name,
                subnetwork=None,
                range=running.range(key),
                region="",
                address=redis_host(running.range(key)),
                tags=frozenset(for_redis(redis.port).target_tags),
            )


def _gateways(topology: Topology, running: Running) -> Iterator[Participant]:
    """The routers at the ends of VPN tunnels and VLAN attachments, which forward what the other side sends."""
    given, compute = running.allocations, topology.compute
    networks = {gateway.full_name: gateway.network for gateway in compute.vpn_gateways}
    networks |= {router.full_name: router.network for router in compute.routers}
    addresses = {
        gateway.full_name: (gateway.network, f"169.254.2.{index + 1}")
        for index, gateway in enumerate(compute.target_vpn_gateways)
    }
    links = {one.full_name: one.vpn_gateway for one in compute.vpn_tunnels if one.vpn_gateway is not None}
    links |= {one.full_name: one.router for one in compute.interconnect_attachments}
    for link, end in links.items():
        if (address := given.addresses.get(AddressKey.inside(link))) is not None:
            addresses[link] = networks[end], address
    for owner, (network, address) in addresses.items():
        if (node := given.names.get(NameKey.node(owner))) is not None:
            yield Participant(
                kind="gateway",
                owner=owner,
                name=node,
                node=node,
                network=network,
                subnetwork=None,
                range="",
                region="",
                address=address,
                forwards=True,
            )
