"""The rules between VM instances and their subnetworks."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.errors import GoogleText
from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.core.ranges import is_usable
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that instances break; all references are known to be right."""
    used: set[tuple[str, str]] = set()
    for i, instance in enumerate(topology.compute.instances):
        path: Path = ("compute", "instances", i, "networkInterfaces", 0)
        subnet = topology.subnetworks[instance.nic.subnetwork]
        if subnet.region != instance.region:
            message = f"{instance.name} is in {instance.zone}, its subnetwork {subnet.name} is in {subnet.region}"
            yield Problem((*path, "subnetwork"), message, subnet.name)
        if subnet.purpose != "PRIVATE":  # the others are for proxies, endpoints and NAT (behaviour 4.4.3)
            message = f"{subnet.name} has purpose {subnet.purpose}, not PRIVATE"
            yield Problem((*path, "subnetwork"), message, subnet.name)
        address = instance.nic.network_ip
        if address is None:
            continue
        if not is_usable(subnet.ip_cidr_range, address):
            message = f"{address} is not a usable address of {subnet.ip_cidr_range}"  # behaviour 4.4.5
            yield Problem((*path, "networkIP"), message, address)
        if (subnet.network, address) in used:
            yield Problem(
                (*path, "networkIP"), GoogleText(f"IP '{address}' is already being used by another resource."), address
            )
        used.add((subnet.network, address))
