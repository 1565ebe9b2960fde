"""Who asks the metadata server, and what is known of whom.

A workload is known by what the kernel proves: the segment that a connection was made in, the device that it came by and
its source address.  All three must be the workload's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from testbed.api.services.compute.projects import KIND as PROJECTS
from testbed.api.services.compute.projects import METADATA
from testbed.control.accept.plane import topology_of
from testbed.control.state.resources import Record
from testbed.control.state.store import Store
from testbed.fabric.allocation.addressing import inner_address
from testbed.fabric.allocation.keys import AddressKey, NameKey, container_instances
from testbed.fabric.allocation.running import Running
from testbed.fabric.inventory import Participant, participants
from testbed.fabric.naming import interface_name
from testbed.json_object import Json
from testbed.model.compute.instance import Instance
from testbed.model.compute.network import Network, Subnetwork
from testbed.model.core.resource import segment
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology


class Origin(NamedTuple):
    """Where a connection comes from."""

    segment: str
    """As the plan calls it."""
    device: str
    """In the segment."""
    address: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM instance, and its NIC."""

    instance: Instance
    record: Record
    subnet: Subnetwork
    network: Network
    address: str
    external: str | None
    project_attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> Json:
        """What packets know of the instance, and all that they do not know of."""
        return self.record.effective or self.record.body


@dataclass(frozen=True, slots=True)
class CallingRuntime:
    """A container instance of a serverless workload."""

    workload: Workload
    project: str
    node: str
    project_attributes: Mapping[str, str] = field(default_factory=dict)


Caller = Machine | CallingRuntime


class Callers:
    """The workloads of a testbed, as they are now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._version = -1
        self._known: Mapping[Origin, Caller] = {}

    @classmethod
    @contextmanager
    def open(cls, testbed: str) -> Iterator[Callers]:
        """Those of a testbed, by a connection of their own: nobody has to wait for them.  Raises as `Store.open`."""
        with Store.open(testbed) as store:
            yield cls(store)

    def find(self, origin: Origin) -> Caller | None:
        """Who is there.

        Raises:
            TestbedError: what there is does not fit together now.
        """
        with self._lock, self._store.snapshot() as version:
            if version != self._version:
                self._known = dict(_all(self._store))
                self._version = version
            return self._known.get(origin)


def segments(running: Running) -> list[str]:
    """The names of the segments that have the metadata server: networks, and regions' infrastructure."""
    return [*running.allocations.networks(), *running.allocations.regions()]


def _all(store: Store) -> Iterator[tuple[Origin, Caller]]:
    if not store.begun:
        return
    found = _Finder(
        topology_of(store),
        store.running,
        {record.name: record for record in store.resources.of("compute.instances")},
        {record.id: attributes(record.body.get(METADATA, {})) for record in store.resources.of(PROJECTS)},
    )
    yield from found.in_networks()
    yield from found.in_regions()


def attributes(metadata: Json) -> Mapping[str, str]:
    """What the message `Metadata` of Compute Engine says."""
    return {item["key"]: item.get("value", "") for item in metadata.get("items", ())}


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds all callers."""

    topology: Topology
    running: Running
    records: Mapping[str, Record]
    """Of VMs."""
    projects: Mapping[str, Mapping[str, str]]
    """The attributes of projects."""

    def in_networks(self) -> Iterator[tuple[Origin, Caller]]:
        """VMs that run, and instances of the flexible environment."""
        instances = {instance.full_name: instance for instance in self.topology.compute.instances}
        networks = {network.full_name: network for network in self.topology.compute.networks}
        flexible = {workload.name: workload for workload, _ in self.topology.flexible}
        for one in participants(self.topology, self.running):
            place = self.running.allocations.names.get(NameKey.network(one.network))
            if place is None or not one.runs:
                continue
            origin = Origin(place, interface_name(one.node), one.address)
            if one.kind == "vm":
                yield origin, self._machine(one, instances[one.owner], networks[one.network])
            elif one.kind == "flexible":
                yield origin, self._runtime(flexible[one.owner], one.node)

    def in_regions(self) -> Iterator[tuple[Origin, Caller]]:
        """Container instances whose packets come out of a region's infrastructure, under their inner addresses."""
        given = self.running.allocations
        for workload in self.topology.workloads:
            place = given.names.get(NameKey.region(workload.region))
            for one in container_instances(workload):
                outer, node = given.addresses.get(AddressKey.outer(one)), given.names.get(NameKey.runtime(one))
                if place and outer and node:
                    origin = Origin(place, interface_name(node), inner_address(outer))
                    yield origin, self._runtime(workload, node)

    def _machine(self, one: Participant, instance: Instance, network: Network) -> Machine:
        project = self.projects.get(segment(one.owner, "projects"), {})
        subnet = self.topology.subnetworks[instance.nic.subnetwork]
        return Machine(instance, self.records[one.owner], subnet, network, one.address, one.external, project)

    def _runtime(self, workload: Workload, node: str) -> CallingRuntime:
        project = workload.name.split("/")[1]  # of an app, the id is that of its project
        return CallingRuntime(workload, project, node, self.projects.get(project, {}))
