"""Small topologies, and what a testbed knows when they run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from testbed.control.connectors import additions
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, ContainerInstance
from testbed.fabric.allocation.running import ConnectorInstance, Health, Running
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Namespace, Plan
from testbed.model.core.resource import Defaults
from testbed.model.rules import consistency
from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from testbed.topology_file import load

KNOWN = Defaults("p", "us-central1", "us-central1-a")
CONNECTOR = "projects/p/locations/us-central1/connectors/c1"

Data = dict[str, Any]


def topology(**apis: Any) -> Topology:
    """A topology of these resources, by API; the defaults are those of KNOWN."""
    data = {"name": "t", "project": KNOWN.project, "region": KNOWN.region, "zone": KNOWN.zone, **apis}
    made = Topology.model_validate(data, context=KNOWN)
    consistency.check(made)
    return made


def example() -> Topology:
    return load(EXAMPLES / "serverless-vpc-access.yaml")


def network(name: str = "vpc", *peers: str) -> Data:
    return {"name": name, "peerings": [{"name": f"{name}-{peer}", "network": peer} for peer in peers]}


def subnet(name: str = "us", cidr: str = "10.128.0.0/20", **more: Any) -> Data:
    return {"name": name, "network": "vpc", "ipCidrRange": cidr, **more}


def vm(name: str, subnetwork: str = "us", *, address: str | None = None, **more: Any) -> Data:
    return {"name": name, "networkInterfaces": [{"subnetwork": subnetwork, "networkIP": address}], **more}


def connector(name: str = "c1", cidr: str = "10.8.0.0/28", **more: Any) -> Data:
    return {"name": name, "network": "vpc", "ipCidrRange": cidr, **more}


def service(
    name: str, connector: str | None = "c1", *, egress: str = "PRIVATE_RANGES_ONLY", instances: int = 1
) -> Data:
    template = {"containers": [{}], "scaling": {"minInstanceCount": instances}}
    if connector:
        template["vpcAccess"] = {"connector": connector, "egress": egress}
    return {"name": name, "template": template}


def compute(**collections: list[Data]) -> Data:
    """The collections of compute, in one network with one subnet unless others are given."""
    return {"networks": [network()], "subnetworks": [subnet()], **collections}


def small(**apis: Any) -> Topology:
    """A service that reaches a VM through a connector."""
    given = {
        "compute": compute(instances=[vm("a")]),
        "vpcaccess": {"connectors": [connector()]},
        "run": {"services": [service("web")]},
    }
    return topology(**{**given, **apis})


class Serial:
    """Serial numbers for the instances of connectors."""

    def __init__(self) -> None:
        self._given = Counter[str]()

    def __call__(self, connector: str) -> int:
        self._given[connector] += 1
        return self._given[connector]


def instances(of: Topology, health: Health = "healthy") -> tuple[ConnectorInstance, ...]:
    """As many instances as each connector begins with."""
    return tuple(replace(instance, health=health) for instance in additions(of, (), Serial()))


def running(of: Topology, health: Health = "healthy", **more: Any) -> Running:
    return Running(allocate(of, Allocations()), instances(of, health), **more)


def outer(of: Topology, found: Running | Allocations, workload: str, number: int = 0) -> str:
    """The address of the tunnel ends of a container instance, by the short name of its workload."""
    (name,) = (one.name for one in of.workloads if one.id == workload)
    given = found.allocations if isinstance(found, Running) else found
    return given.addresses[AddressKey.outer(ContainerInstance(name, number))]


def plan(of: Topology, health: Health = "healthy", **more: Any) -> Plan:
    return compile_topology(of, running(of, health, **more))


def space(of: Plan, name: str) -> Namespace:
    (found,) = (space for space in of.namespaces if space.name == name)
    return found


def table_rules(of: Namespace, table: str, chain: str) -> tuple[str, ...]:
    return next(c.rules for t in of.tables if t.name == table for c in t.chains if c.name == chain)


def members(of: Namespace, rule: str) -> list[frozenset[str]]:
    """The members of the sets that an iptables rule refers to, in its order."""
    words = rule.split()
    names = [words[i + 1] for i, word in enumerate(words) if word == "--match-set"]
    return [next(s.members for s in of.sets if s.name == name) for name in names]
