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
    topology, running = topology_of(store), store.running
    projects = {record.id: attributes(record.body.get(METADATA, {})) for record in store.resources.of(PROJECTS)}
    records = {record.name: record for record in store.resources.of("compute.instances")}
    yield from _machines(topology, running, records, projects)
    yield from _runtimes(topology, running, projects)


def attributes(metadata: Json) -> Mapping[str, str]:
    """What the message `Metadata` of Compute Engine says."""
    return {item["key"]: item.get("value", "") for item in metadata.get("items", ())}


def _machines(
    topology: Topology, running: Running, records: Mapping[str, Record], projects: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[Origin, Machine]]:
    networks = {network.full_name: network for network in topology.compute.networks}
    for instance in topology.compute.instances:
        name = instance.full_name
        address = running.allocations.addresses.get(AddressKey.instance(name))
        if not instance.runs or address is None:
            continue
        subnet = topology.subnetworks[instance.nic.subnetwork]
        key = AddressKey.external(name)
        external = running.allocations.addresses.get(key) if instance.nic.access_configs else None
        found = Machine(
            instance,
            records[name],
            subnet,
            networks[subnet.network],
            address,
            external,
            projects.get(segment(name, "projects"), {}),
        )
        if origin := _origin(running, NameKey.network(subnet.network), NameKey.node(name), address):
            yield origin, found


def _runtimes(
    topology: Topology, running: Running, projects: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[Origin, CallingRuntime]]:
    places = {workload.name: place.name for workload, place in topology.flexible}
    for workload in topology.workloads:
        parts = workload.name.split("/")
        project = parts[1]  # of an app, the id is that of its project
        network = places.get(workload.name)
        for one in container_instances(workload):
            key, node = AddressKey.interface(one) if network else AddressKey.outer(one), NameKey.runtime(one)
            address = running.allocations.addresses.get(key)
            if address is None:
                continue
            where = NameKey.network(network) if network else NameKey.region(workload.region)
            if origin := _origin(running, where, node, address if network else inner_address(address)):
                yield origin, CallingRuntime(workload, project, running.name(node), projects.get(project, {}))


def _origin(running: Running, place: NameKey, node: NameKey, address: str) -> Origin | None:
    """By the keys of segment and node; None as long as there are none."""
    names = [running.allocations.names.get(key) for key in (place, node)]
    return Origin(names[0], interface_name(names[1]), address) if names[0] and names[1] else None
