"""Internal DNS names of Compute Engine: those of a network's VMs, in that network only (behaviour 4.7.2).

A VM that runs has a zonal name, `VM.ZONE.c.PROJECT.internal`, a global one, `VM.c.PROJECT.internal`, and, under an
address of RFC 1918, a PTR record with the zonal one.  (Google gives new projects zonal names only; that both are there
is our choice.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.dns.zones import RecordSet, Zone, closest, within
from testbed.fabric.inventory import Participant
from testbed.model.core.ranges import RFC1918
from testbed.model.core.resource import segment

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


def named(participants: Iterable[Participant]) -> Iterator[Participant]:
    """Those of a network that have names: VMs that run."""
    for one in participants:
        if one.kind == "vm" and one.runs and _LABEL.fullmatch(project_of(one.owner)):
            yield one


def zones(participants: Iterable[Participant]) -> Iterator[Zone]:
    """A zone per project that has VMs in the network."""
    found: dict[str, list[RecordSet]] = {}
    for one in named(participants):
        name = f"{domain(project_of(one.owner))}."
        found.setdefault(name, []).append(RecordSet(zonal_name(one), "A", (one.address,)))
        found[name].append(RecordSet(f"{one.name}.{name}", "A", (one.address,)))
    yield from (Zone(name, tuple(records)) for name, records in found.items())


def zonal_name(vm: Participant) -> str:
    """The zonal name of a VM."""
    return f"{vm.name}.{segment(vm.owner, 'zones')}.{domain(project_of(vm.owner))}."


def pointers(participants: Iterable[Participant]) -> list[RecordSet]:
    """The PTR records of a network's VMs, whatever their addresses."""
    return [RecordSet(reverse_name(one.address), "PTR", (zonal_name(one),)) for one in named(participants)]


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
