"""The rules between workloads with Direct VPC egress and their subnetworks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from testbed.model.compute.network import Subnetwork
from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.core.ranges import INTERNAL
from testbed.model.core.resource import last
from testbed.model.rules.references import missing, path_of
from testbed.model.serverless.direct_egress import SMALLEST, Direct
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that workloads break."""
    for workload in topology.workloads:
        if workload.direct is not None:
            path = path_of(topology, workload.name)
            if found := problem(workload.direct, workload.region, topology.subnetworks, path):
                yield found


def omissions(topology: Topology) -> Iterator[Problem]:
    """Workloads whose instances would not start: by the API they come into being all the same (behaviour 7.2)."""
    for workload in topology.workloads:
        if workload.direct is not None and is_too_small(subnet := topology.subnetworks[workload.direct.subnetwork]):
            message = (
                f"the subnetwork {last(subnet.full_name)} is {subnet.ip_cidr_range}: it must be /{SMALLEST} or larger"
            )
            yield Problem(path_of(topology, workload.name), message)


def is_too_small(subnet: Subnetwork) -> bool:
    """Whether the addresses of a subnet do not suffice for any instance: they are taken in blocks (behaviour 7.2)."""
    return IPv4Network(subnet.ip_cidr_range).prefixlen > SMALLEST


def problem(direct: Direct, region: str, subnetworks: Mapping[str, Subnetwork], path: Path = ()) -> Problem | None:
    """What is wrong with the subnet of a workload of a region, which stands at `path`; None if nothing is."""
    name, short = direct.subnetwork, last(direct.subnetwork)
    subnet = subnetworks.get(name)
    if subnet is None:
        return missing(path, name)
    cidr = IPv4Network(subnet.ip_cidr_range)
    if subnet.region != region:
        message = f"the subnetwork {short} is in {subnet.region}, not in the region of the workload, {region}"
    elif direct.network not in {None, subnet.network}:
        message = f"the subnetwork {short} does not belong to the network {last(direct.network or '')}"
    elif subnet.purpose != "PRIVATE":
        message = f"the subnetwork {short} has purpose {subnet.purpose}, not PRIVATE"
    elif not any(cidr.subnet_of(whole) for whole in INTERNAL):
        message = f"the subnetwork {short} is {cidr}: it must be of RFC 1918, RFC 6598 or class E"
    else:
        return None
    return Problem(path, message)
