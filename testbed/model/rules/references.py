"""The rules of names: each stands for one resource, and what a resource names has to be there."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.errors import GoogleText
from testbed.model.core.annotations import Path, annotated
from testbed.model.core.problem import Problem
from testbed.model.core.resource import PEER, Reference, last
from testbed.model.kinds import KINDS, name_of
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Names that stand twice, and references to nothing."""
    existing: set[str] = set()
    for path, full_names in collections(topology):
        seen: set[str] = set()
        for index, full in enumerate(full_names):
            if full in seen:
                message = f"The resource '{full}' already exists"
                yield Problem((*path, index, "name"), GoogleText(message), last(full), "ALREADY_EXISTS")
            seen.add(full)
        existing |= seen
    for path, full in _required(topology):
        if full not in existing:
            yield missing(path, full)


def omissions(topology: Topology) -> Iterator[Problem]:
    """Peered networks that are not there: a peering may be made before its peer (behaviour 4.5.1)."""
    existing = {network.full_name for network in topology.compute.networks}
    for path, reference, full in annotated(topology, Reference):
        if reference == PEER and full not in existing:
            yield missing(path, full)


def missing(path: Path, full: str) -> Problem:
    """A reference to nothing."""
    return Problem(path, GoogleText(f"The resource '{full}' was not found"), full, "NOT_FOUND")


def collections(topology: Topology) -> Iterator[tuple[Path, list[str]]]:
    """Path of each collection, and the full names of its resources."""
    for kind in KINDS.values():
        section, _, field = kind.key.partition(".")
        yield (section, field), [name_of(resource) for resource in kind.of(topology)]


def path_of(topology: Topology, name: str) -> Path:
    """Where the resource of this full name stands."""
    return next((*path, full_names.index(name)) for path, full_names in collections(topology) if name in full_names)


def _required(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Path and full name of every reference to another resource that has to be there."""
    for path, reference, full in annotated(topology, Reference):
        if reference.required:
            yield path, full
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.subnet is not None:
            yield ("vpcaccess", "connectors", i, "subnet", "name"), connector.subnet_name
    for i, connection in enumerate(topology.servicenetworking.connections):
        for j, name in enumerate(connection.ranges):
            yield ("servicenetworking", "connections", i, "reservedPeeringRanges", j), name
    for i, service in enumerate(topology.run.services):
        if service.pinned:
            yield ("run", "services", i, "traffic"), service.pinned
