"""The rules between connectors, their subnetworks, and the workloads that use them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network

from testbed.errors import GoogleText
from testbed.model.core.annotations import Path, annotated
from testbed.model.core.problem import Problem
from testbed.model.core.resource import CONNECTOR, Reference
from testbed.model.managed_rules import of_connectors
from testbed.model.rules.references import path_of
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that connectors break; all references are known to be right."""
    taken: Counter[str] = Counter(i.nic.subnetwork for i in topology.compute.instances)
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.subnet is None:
            continue
        path: Path = ("vpcaccess", "connectors", i, "subnet", "name")
        name = connector.subnet_name
        subnet = topology.subnetworks[name]
        taken[name] += 1
        if IPv4Network(subnet.ip_cidr_range).prefixlen != 28:
            yield Problem(path, f"{subnet.name} is {subnet.ip_cidr_range}, not a /28", subnet.name)  # behaviour 1.6.6
        if subnet.purpose != "PRIVATE":
            yield Problem(path, f"{subnet.name} has purpose {subnet.purpose}, not PRIVATE")  # behaviour 1.6.6
        if taken[name] > 1:
            yield Problem(path, f"{subnet.name} is used by another resource too", subnet.name)  # behaviour 1.6.6
    yield from _taken_names(topology)


def _taken_names(topology: Topology) -> Iterator[Problem]:
    """Firewall rules of the user that are called like one which Google makes for a connector (behaviour 2.2.2)."""
    managed = {rule.full_name for n in topology.networks for _, rule in of_connectors(topology, n.full_name)}
    for i, firewall in enumerate(topology.compute.firewalls):
        if firewall.full_name in managed:
            taken = GoogleText(f"The resource '{firewall.full_name}' already exists")
            yield Problem(("compute", "firewalls", i, "name"), taken, firewall.name, "ALREADY_EXISTS")


def omissions(topology: Topology) -> Iterator[Problem]:
    """Workloads whose connector or secret is not there, or whose connector is elsewhere."""
    connectors = {c.name: c for c in topology.vpcaccess.connectors}
    secrets = {s.name for s in topology.secretmanager.secrets}
    paths = {found.path[:3]: found.path for found in annotated(topology, Reference) if found.mark == CONNECTOR}
    for workload in topology.workloads:
        place = path_of(topology, workload.name)
        path = paths.get(place, place)
        if workload.connector and workload.connector not in connectors:
            unknown = GoogleText(
                f"VPC connector {workload.connector} does not exist, or Cloud Run does not have permission to use it."
            )
            yield Problem(path, unknown, workload.connector)
        elif workload.connector and connectors[workload.connector].region != workload.region:
            message = (
                f"{workload.id} is in {workload.region}, its connector is in"
                f" {connectors[workload.connector].region}; they must be in one region"  # behaviour 1.12.1
            )
            yield Problem(path, message, workload.connector)
        for value in workload.environment.values():
            if value.startswith("sm://") and "projects/{}/secrets/{}".format(*_secret(value)) not in secrets:
                yield Problem(place, f"the secret {value} is not declared (secretmanager.secrets)", value)


def _secret(value: str) -> tuple[str, str]:
    project, _, name = value.removeprefix("sm://").partition("/")
    return project, name
