"""The rules between zones and record sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that they break; all references are known to be right."""
    bound: dict[tuple[str, str], str] = {}
    for i, zone in enumerate(topology.dns.managed_zones):
        for network in sorted(zone.networks):
            known = bound.setdefault((network, zone.dns_name), zone.name)
            if known != zone.name:
                path: Path = ("dns", "managedZones", i, "dnsName")
                yield Problem(path, bound_twice(network, known, zone.dns_name))
    zones = {zone.full_name: zone for zone in topology.dns.managed_zones}
    kinds: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for i, record in enumerate(topology.dns.resource_record_sets):
        path = ("dns", "resourceRecordSets", i)
        dns_name = zones[record.managed_zone].dns_name
        if record.name != dns_name and not record.name.endswith(f".{dns_name}"):
            yield Problem((*path, "name"), f"{record.name} is not in {dns_name}", record.name)
        found = kinds[record.managed_zone, record.name]
        found |= {record.type, *(("NS", "SOA") if record.name == dns_name else ())}
        if "CNAME" in found and len(found) > 1:
            yield Problem((*path, "type"), f"{record.name} has either one CNAME or record sets of other types")


def bound_twice(network: str, zone: str, dns_name: str) -> str:
    """What is said of a second zone of one DNS name in a network (the text is ours)."""
    return f"network '{network}': it is bound to the zone '{zone}', which has the same DNS name, '{dns_name}'"
