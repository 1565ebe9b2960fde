"""Internal DNS names of Compute Engine: those of a network's VMs, in that network only (behaviour 4.7.2).

A VM that runs has a zonal name, `VM.ZONE.c.PROJECT.internal`, a global one, `VM.c.PROJECT.internal`, and, under an
address of RFC 1918, a PTR record with the zonal one.  (Google gives new projects zonal names only; that both are there
is our choice.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.dns.zones import RecordSet, Zone, closest, within
from testbed.model.compute.instance import Instance
from testbed.model.core.ranges import RFC1918
from testbed.model.core.resource import segment
from testbed.model.topology import Topology

GOOGLE = "google.internal"
"""The last of the search domains of every node that has any (recalled)."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def domain(project: str) -> str:
    """The domain of a project's internal names, as a resolver is told of it."""
    return f"c.{project}.internal"


def search(project: str, zone: str | None = None) -> tuple[str, ...]:
    """Where the resolver of a VM looks for a short name."""
    zonal = (f"{zone}.{domain(project)}",) if zone else ()
    return (*zonal, domain(project), GOOGLE)


def project_of(resource: str) -> str:
    """The project of a resource, by its full name."""
    return segment(resource, "projects")


def instances(topology: Topology, network: str) -> Iterator[Instance]:
    """The instances of a network that have names: those that run."""
    for instance in topology.compute.instances:
        known = _LABEL.fullmatch(project_of(instance.full_name)) is not None
        if instance.runs and known and topology.subnetworks[instance.nic.subnetwork].network == network:
            yield instance


def zones(topology: Topology, addresses: Mapping[AddressKey, str], network: str) -> Iterator[Zone]:
    """A zone per project that has VMs in the network."""
    found: dict[str, list[RecordSet]] = {}
    for instance in instances(topology, network):
        name = f"{domain(project_of(instance.full_name))}."
        data = (addresses[AddressKey.instance(instance.full_name)],)
        found.setdefault(name, []).append(RecordSet(zonal_name(instance), "A", data))
        found[name].append(RecordSet(f"{instance.name}.{name}", "A", data))
    yield from (Zone(name, tuple(records)) for name, records in found.items())


def zonal_name(instance: Instance) -> str:
    """The zonal name of an instance."""
    return f"{instance.name}.{instance.zone}.{domain(project_of(instance.full_name))}."


def pointers(topology: Topology, addresses: Mapping[AddressKey, str], network: str) -> list[RecordSet]:
    """The PTR records of a network's VMs, whatever their addresses."""
    return [
        RecordSet(reverse_name(addresses[AddressKey.instance(instance.full_name)]), "PTR", (zonal_name(instance),))
        for instance in instances(topology, network)
    ]


def reverse_zones(records: Iterable[RecordSet]) -> Iterator[Zone]:
    """The zones that Compute Engine has PTR records in by itself, as far as there are any in them."""
    names, found = [*_automatic()], dict[str, list[RecordSet]]()
    for record in records:
        if (name := closest(record.name, names)) is not None and within(record.name, name):
            found.setdefault(name, []).append(record)
    yield from (Zone(name, tuple(inside)) for name, inside in found.items())


def reverse_name(address: str) -> str:
    """The name that stands for an address, as `2.0.128.10.in-addr.arpa.` does."""
    return f"{IPv4Address(address).reverse_pointer}."


def _automatic() -> Iterator[str]:
    """A zone per range of RFC 1918, cut at whole bytes: `10.in-addr.arpa.`, `16.172.in-addr.arpa.`, ..."""
    for cidr in RFC1918:
        length = -(-cidr.prefixlen // 8) * 8
        yield from (_reverse_of(part) for part in cidr.subnets(new_prefix=length))


def _reverse_of(cidr: IPv4Network) -> str:
    labels = str(cidr.network_address).split(".")[: cidr.prefixlen // 8]
    return ".".join([*reversed(labels), "in-addr.arpa."])
