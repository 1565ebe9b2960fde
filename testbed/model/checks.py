"""The rules that no single resource can check: references, overlaps, regions.

Each check yields problems with the path of the value at fault, so that the file's line can be named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from testbed.model.base import CONNECTOR, Reference, last
from testbed.model.ranges import usable
from testbed.model.walk import Path, annotated

if TYPE_CHECKING:
    from testbed.model.topology import Topology
    from testbed.model.vpcaccess import Connector


class Problem(NamedTuple):
    """What is wrong, and where: the path of keys and indices in the topology."""

    path: Path
    message: str
    value: object = None


class Inconsistent(ValueError):  # noqa: N818 - read as a state, as pydantic's own ValidationError wraps it
    """A topology whose resources do not fit together."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.path))}: {p.message}" for p in problems))
        self.problems = problems


def connector_subnet(connector: Connector, project: str) -> str:
    """The full name of the subnet that a connector was given."""
    if connector.subnet is None:
        raise ValueError(f"{connector.name} has a range of its own, not a subnet")
    owner = connector.subnet.project_id or project
    return f"projects/{owner}/regions/{connector.region}/subnetworks/{last(connector.subnet.name)}"


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that the topology breaks."""
    duplicates = list(_duplicate_names(topology))
    yield from duplicates
    dangling = list(_dangling(topology))
    yield from dangling
    if not duplicates and not dangling:  # the rest looks resources up by name
        yield from _overlaps(topology)
        yield from _instances(topology)
        yield from _connectors(topology)
        yield from _workloads(topology)
        yield from _node_names(topology)
        yield from _vpn(topology)


def _collections(topology: Topology) -> Iterator[tuple[Path, Iterable[tuple[str, str]]]]:
    """Path of each collection, and (short, full) names of its resources."""
    c = topology.compute
    compute = {
        "networks": c.networks, "subnetworks": c.subnetworks, "firewalls": c.firewalls, "routes": c.routes,
        "addresses": c.addresses, "routers": c.routers, "instances": c.instances,
        "targetVpnGateways": c.target_vpn_gateways, "forwardingRules": c.forwarding_rules,
        "vpnTunnels": c.vpn_tunnels,
    }  # fmt: skip
    for key, resources in compute.items():
        yield ("compute", key), [(r.name, r.full_name) for r in resources]
    named = {
        ("vpcaccess", "connectors"): topology.vpcaccess.connectors,
        ("run", "services"): topology.run.services,
        ("cloudfunctions", "functions"): topology.cloudfunctions.functions,
        ("redis", "instances"): topology.redis.instances,
    }
    for path, items in named.items():
        yield path, [(r.id, r.full_name) for r in items]
    yield ("appengine", "versions"), [(v.id, v.full_name) for v in topology.appengine.versions]
    yield ("secretmanager", "secrets"), [(last(s.name), s.full_name) for s in topology.secretmanager.secrets]


def _duplicate_names(topology: Topology) -> Iterator[Problem]:
    for path, names in _collections(topology):
        seen: set[str] = set()
        for index, (_, full) in enumerate(names):
            if full in seen:
                yield Problem((*path, index, "name"), f"The resource '{full}' already exists", last(full))
            seen.add(full)


def _references(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Path and full name of every reference to another resource.

    A service's connector is not among them: that one is missing is an error of the service (behaviour 1.10.5).
    """
    for path, reference, full in annotated(topology, Reference):
        if reference != CONNECTOR:
            yield path, full
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.subnet is not None:
            yield ("vpcaccess", "connectors", i, "subnet", "name"), connector_subnet(connector, topology.project)


def _dangling(topology: Topology) -> Iterator[Problem]:
    """References to nothing."""
    existing = {full for _, names in _collections(topology) for _, full in names}
    for path, full in _references(topology):
        if full not in existing:
            yield Problem(path, f"The resource '{full}' was not found", full)


def _ranges(topology: Topology) -> Iterator[tuple[Path, str, IPv4Network, str]]:
    """Path, network, range and owner of every range in use."""
    for i, subnet in enumerate(topology.compute.subnetworks):
        yield (
            ("compute", "subnetworks", i, "ipCidrRange"), subnet.network, IPv4Network(subnet.ip_cidr_range),
            f"subnetwork {subnet.name}",
        )  # fmt: skip
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.network and connector.ip_cidr_range:
            path = ("vpcaccess", "connectors", i, "ipCidrRange")
            yield path, connector.network, IPv4Network(connector.ip_cidr_range), f"connector {connector.id}"
    for i, redis in enumerate(topology.redis.instances):
        if redis.reserved_ip_range:
            path = ("redis", "instances", i, "reservedIpRange")
            yield path, redis.authorized_network, IPv4Network(redis.reserved_ip_range), f"Redis instance {redis.id}"


def _overlaps(topology: Topology) -> Iterator[Problem]:
    """Ranges are unique in a network and its peers (behaviour 4.4.1, 1.6.3, 4.5.5)."""
    peers = {(n.full_name, p.network) for n in topology.compute.networks for p in n.peerings}
    for (_, net_a, range_a, owner_a), (path, net_b, range_b, owner_b) in combinations(_ranges(topology), 2):
        together = net_a == net_b or ((net_a, net_b) in peers and (net_b, net_a) in peers)
        if together and range_a.overlaps(range_b):
            yield Problem(path, f"the range {range_b} of {owner_b} overlaps {range_a} of {owner_a}", str(range_b))


def _instances(topology: Topology) -> Iterator[Problem]:
    used: set[tuple[str, str]] = set()
    for i, instance in enumerate(topology.compute.instances):
        path: Path = ("compute", "instances", i, "networkInterfaces", 0)
        subnet = topology.subnetworks[instance.nic.subnetwork]
        if subnet.region != instance.region:
            message = f"{instance.name} is in {instance.zone}, its subnetwork {subnet.name} is in {subnet.region}"
            yield Problem((*path, "subnetwork"), message, subnet.name)
        address = instance.nic.network_ip
        if address is None:
            continue
        if IPv4Address(address) not in set(usable(subnet.ip_cidr_range)):
            message = f"{address} is not a usable address of {subnet.ip_cidr_range} (behaviour 4.4.5)"
            yield Problem((*path, "networkIP"), message, address)
        if (subnet.network, address) in used:
            yield Problem((*path, "networkIP"), f"IP '{address}' is already being used by another resource.", address)
        used.add((subnet.network, address))


def _connectors(topology: Topology) -> Iterator[Problem]:
    taken: Counter[str] = Counter(i.nic.subnetwork for i in topology.compute.instances)
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.subnet is None:
            continue
        path: Path = ("vpcaccess", "connectors", i, "subnet", "name")
        name = connector_subnet(connector, topology.project)
        subnet = topology.subnetworks[name]
        taken[name] += 1
        if IPv4Network(subnet.ip_cidr_range).prefixlen != 28:
            yield Problem(path, f"{subnet.name} is {subnet.ip_cidr_range}, not a /28 (behaviour 1.6.6)", subnet.name)
        if subnet.purpose != "PRIVATE":
            yield Problem(path, f"{subnet.name} has purpose {subnet.purpose}, not PRIVATE (behaviour 1.6.6)")
        if taken[name] > 1:
            yield Problem(path, f"{subnet.name} is used by something else as well (behaviour 1.6.6)", subnet.name)


def _workloads(topology: Topology) -> Iterator[Problem]:
    connectors = {c.name: c for c in topology.vpcaccess.connectors}
    secrets = {s.name for s in topology.secretmanager.secrets}
    for workload in topology.workloads:
        path = _workload_path(topology, workload.name)
        if workload.connector and workload.connector not in connectors:
            message = (
                f"VPC connector {workload.connector} does not exist, or Cloud Run does not have permission to use it."
            )
            yield Problem(path, message, workload.connector)
        elif workload.connector and connectors[workload.connector].region != workload.region:
            message = (
                f"{workload.id} is in {workload.region}, its connector is in"
                f" {connectors[workload.connector].region}; they must be in one region (behaviour 1.12.1)"
            )
            yield Problem(path, message, workload.connector)
        for value in workload.environment.values():
            if value.startswith("sm://") and "projects/{}/secrets/{}".format(*_secret(value)) not in secrets:
                yield Problem(path, f"the secret {value} is not declared (secretmanager.secrets)", value)


def _secret(value: str) -> tuple[str, str]:
    project, _, name = value.removeprefix("sm://").partition("/")
    return project, name


def _workload_path(topology: Topology, name: str) -> Path:
    for path, names in _collections(topology):
        for index, (_, full) in enumerate(names):
            if full == name:
                return (*path, index)
    return ()


def _node_names(topology: Topology) -> Iterator[Problem]:
    """Commands name nodes by their short names, so these are unique in a testbed."""
    names: list[tuple[str, Path]] = []
    names += [(w.id, _workload_path(topology, w.name)) for w in topology.workloads]
    for key, items in (
        ("instances", topology.compute.instances), ("targetVpnGateways", topology.compute.target_vpn_gateways),
    ):  # fmt: skip
        names += [(item.name, ("compute", key, i)) for i, item in enumerate(items)]
    names += [(r.id, ("redis", "instances", i)) for i, r in enumerate(topology.redis.instances)]
    names += [(h.name, ("internet", "hosts", i)) for i, h in enumerate(topology.internet.hosts)]
    for i, site in enumerate(topology.on_prem.sites):
        names.append((site.gateway.name, ("onPrem", "sites", i, "gateway")))
        names += [(h.name, ("onPrem", "sites", i, "hosts", j)) for j, h in enumerate(site.hosts)]
    seen: set[str] = {"front-end", "load"}
    for name, path in names:
        if name in seen:
            yield Problem((*path, "name"), f"the name {name!r} is taken by another node of this testbed", name)
        seen.add(name)


def _vpn(topology: Topology) -> Iterator[Problem]:
    """A classic gateway needs three forwarding rules: ESP, UDP 500 and UDP 4500."""
    rules = topology.compute.forwarding_rules
    for i, gateway in enumerate(topology.compute.target_vpn_gateways):
        have = {(r.ip_protocol, r.port_range) for r in rules if r.target == gateway.full_name}
        addresses = {r.ip_address for r in rules if r.target == gateway.full_name}
        missing = {("ESP", None), ("UDP", "500"), ("UDP", "4500")} - have
        path: Path = ("compute", "targetVpnGateways", i)
        if missing:
            what = ", ".join(sorted(" ".join(filter(None, item)) for item in missing))
            yield Problem(path, f"{gateway.name} has no forwarding rule for {what}", gateway.name)
        elif len(addresses) > 1:
            yield Problem(path, f"the forwarding rules of {gateway.name} have different addresses", gateway.name)
