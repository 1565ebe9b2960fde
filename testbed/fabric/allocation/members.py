"""What the topology puts into networks with an address of a subnet: what these addresses are given out for.

`fabric.inventory` goes on from this list: it adds the addresses, and what only the running state knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from testbed.fabric.allocation.keys import AddressKey, NameKey, container_instances
from testbed.model.topology import Topology

MemberKind = Literal["vm", "flexible", "direct"]
"""A VM, an instance of the flexible environment, or one of a workload with Direct VPC egress."""


@dataclass(frozen=True, slots=True)
class Member:
    """The NIC of one machine in a network."""

    kind: MemberKind
    owner: str
    """The full name of the VM, or of the workload that it is an instance of."""
    name: str
    """Its short name: of an instance of a workload with Direct VPC egress there is none of Google's."""
    node: NameKey
    key: AddressKey
    """Its internal address."""
    external: AddressKey | None
    """Its external address, if it is to have one of its own."""
    given: str | None
    """The internal address that the topology gives."""
    subnetwork: str
    network: str
    range: str
    """The subnet's."""
    region: str
    tags: frozenset[str]
    service_accounts: frozenset[str] = frozenset()
    forwards: bool = False
    """Whether it may send, and is given, packets of other addresses (`canIpForward`)."""
    runs: bool = True


def members(topology: Topology) -> Iterator[Member]:
    """All of them, stopped VMs among them: they keep their addresses."""
    yield from _instances(topology)
    yield from _flexible(topology)
    yield from _direct(topology)


def _instances(topology: Topology) -> Iterator[Member]:
    for instance in topology.compute.instances:
        subnet = topology.subnetworks[instance.nic.subnetwork]
        yield Member(
            kind="vm",
            owner=instance.full_name,
            name=instance.name,
            node=NameKey.node(instance.full_name),
            key=AddressKey.instance(instance.full_name),
            external=AddressKey.external(instance.full_name) if instance.nic.access_configs else None,
            given=instance.nic.network_ip,
            subnetwork=subnet.full_name,
            network=subnet.network,
            range=subnet.ip_cidr_range,
            region=instance.region,
            tags=frozenset(instance.tags.items),
            service_accounts=frozenset(account.email for account in instance.service_accounts),
            forwards=instance.can_ip_forward,
            runs=instance.runs,
        )


def _flexible(topology: Topology) -> Iterator[Member]:
    """Instances of the flexible environment are like VMs of the network (behaviour 3.6)."""
    for workload, place in topology.flexible:
        subnet = topology.subnetworks[place.subnetwork_name]
        for one in container_instances(workload):
            yield Member(
                kind="flexible",
                owner=workload.name,
                name=workload.id,
                node=NameKey.runtime(one),
                key=AddressKey.interface(one),
                external=None,
                given=None,
                subnetwork=subnet.full_name,
                network=place.name,
                range=subnet.ip_cidr_range,
                region=workload.region,
                tags=frozenset({place.instance_tag or f"aef-{workload.id}"}),
            )


def _direct(topology: Topology) -> Iterator[Member]:
    """One address each: Google's blocks of 16, kept for a while, are not known to packets (behaviour 7.2)."""
    for workload in topology.workloads:
        if workload.direct is None:
            continue
        subnet = topology.subnetworks[workload.direct.subnetwork]
        for one in container_instances(workload):
            yield Member(
                kind="direct",
                owner=workload.name,
                name="",
                node=NameKey.runtime(one),
                key=AddressKey.interface(one),
                external=None,
                given=None,
                subnetwork=subnet.full_name,
                network=subnet.network,
                range=subnet.ip_cidr_range,
                region=workload.region,
                tags=workload.direct.tags,
            )
