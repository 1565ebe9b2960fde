"""The rules that no single resource can check: references, overlaps, regions.

Each check yields problems with the path of the value at fault, so that the file's line can be named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from testbed.model import (
    direct,
    dns_checks,
    interconnect,
    network_checks,
    policy_checks,
    private_services_checks,
    vpn_checks,
)
from testbed.model.base import CONNECTOR, PEER, Reference, last, segment
from testbed.model.problem import Problem
from testbed.model.ranges import is_usable
from testbed.model.vpn import NEEDED, external_address
from testbed.model.walk import Path, annotated

if TYPE_CHECKING:
    from testbed.model.topology import Topology
    from testbed.model.vpcaccess import Connector


def connector_subnet(connector: Connector) -> str:
    """The full name of the subnet that a connector was given; its project is the connector's (behaviour 1.2.4)."""
    if connector.subnet is None:
        raise ValueError(f"{connector.name} has a range of its own, not a subnet")
    owner = connector.subnet.project_id or segment(connector.name, "projects")
    return f"projects/{owner}/regions/{connector.region}/subnetworks/{last(connector.subnet.name)}"


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that the topology breaks, whose resources Google would not let come into being so."""
    duplicates = list(_duplicate_names(topology))
    yield from duplicates
    dangling = list(_dangling(topology))
    yield from dangling
    if not duplicates and not dangling:  # the rest looks resources up by name
        yield from network_checks.problems(topology)
        yield from policy_checks.problems(topology)
        yield from _instances(topology)
        yield from _connectors(topology)
        yield from _direct(topology)
        yield from _external_addresses(topology)
        yield from vpn_checks.problems(topology)
        yield from interconnect.problems(topology)
        yield from private_services_checks.problems(topology)
        yield from dns_checks.problems(topology)


def omissions(topology: Topology) -> Iterator[Problem]:
    """What a valid topology lacks to be a whole one.

    Made one after the other, resources may be in such a state (a gateway without forwarding rules yet, a service whose
    connector was deleted: behaviour 1.10.2); in a file that describes everything it is a mistake.
    """
    yield from _peers(topology)
    yield from _workloads(topology)
    yield from _vpn(topology)
    yield from vpn_checks.omissions(topology)


def collections(topology: Topology) -> Iterator[tuple[Path, list[str]]]:
    """Path of each collection, and the full names of its resources."""
    c = topology.compute
    compute = {
        "networks": c.networks,
        "subnetworks": c.subnetworks,
        "firewalls": c.firewalls,
        "routes": c.routes,
        "addresses": c.addresses,
        "globalAddresses": c.global_addresses,
        "routers": c.routers,
        "instances": c.instances,
        "networkFirewallPolicies": c.network_firewall_policies,
        "regionNetworkFirewallPolicies": c.region_network_firewall_policies,
        "targetVpnGateways": c.target_vpn_gateways,
        "forwardingRules": c.forwarding_rules,
        "vpnGateways": c.vpn_gateways,
        "externalVpnGateways": c.external_vpn_gateways,
        "vpnTunnels": c.vpn_tunnels,
        "interconnectAttachments": c.interconnect_attachments,
    }
    for key, resources in compute.items():
        yield ("compute", key), [r.full_name for r in resources]
    named = {
        ("vpcaccess", "connectors"): topology.vpcaccess.connectors,
        ("run", "services"): topology.run.services,
        ("run", "revisions"): topology.run.revisions,
        ("run", "executions"): topology.run.executions,
        ("cloudfunctions", "functions"): topology.cloudfunctions.functions,
        ("redis", "instances"): topology.redis.instances,
    }
    for path, items in named.items():
        yield path, [r.full_name for r in items]
    yield ("servicenetworking", "connections"), [c.full_name for c in topology.servicenetworking.connections]
    yield ("appengine", "services"), [s.full_name for s in topology.appengine.services]
    yield ("appengine", "versions"), [v.full_name for v in topology.appengine.versions]
    yield ("secretmanager", "secrets"), [s.full_name for s in topology.secretmanager.secrets]
    yield ("dns", "managedZones"), [z.full_name for z in topology.dns.managed_zones]
    yield ("dns", "resourceRecordSets"), [r.full_name for r in topology.dns.resource_record_sets]
    yield ("internet", "hosts"), [host.name for host in topology.internet.hosts]
    yield ("onPrem", "sites"), [site.name for site in topology.on_prem.sites]


def _duplicate_names(topology: Topology) -> Iterator[Problem]:
    for path, full_names in collections(topology):
        seen: set[str] = set()
        for index, full in enumerate(full_names):
            if full in seen:
                message = f"The resource '{full}' already exists"
                yield Problem((*path, index, "name"), message, last(full), "ALREADY_EXISTS")
            seen.add(full)


def _references(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Path and full name of every reference to another resource that has to be there."""
    for path, reference, full in annotated(topology, Reference):
        if reference.required:
            yield path, full
    for i, connector in enumerate(topology.vpcaccess.connectors):
        if connector.subnet is not None:
            yield ("vpcaccess", "connectors", i, "subnet", "name"), connector_subnet(connector)
    for i, connection in enumerate(topology.servicenetworking.connections):
        for j, name in enumerate(connection.ranges):
            yield ("servicenetworking", "connections", i, "reservedPeeringRanges", j), name
    for i, service in enumerate(topology.run.services):
        if service.pinned:
            yield ("run", "services", i, "traffic"), service.pinned


def _dangling(topology: Topology) -> Iterator[Problem]:
    """References to nothing."""
    existing = {full for _, full_names in collections(topology) for full in full_names}
    for path, full in _references(topology):
        if full not in existing:
            yield Problem(path, f"The resource '{full}' was not found", full, "NOT_FOUND")


def _instances(topology: Topology) -> Iterator[Problem]:
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
        name = connector_subnet(connector)
        subnet = topology.subnetworks[name]
        taken[name] += 1
        if IPv4Network(subnet.ip_cidr_range).prefixlen != 28:
            yield Problem(path, f"{subnet.name} is {subnet.ip_cidr_range}, not a /28 (behaviour 1.6.6)", subnet.name)
        if subnet.purpose != "PRIVATE":
            yield Problem(path, f"{subnet.name} has purpose {subnet.purpose}, not PRIVATE (behaviour 1.6.6)")
        if taken[name] > 1:
            yield Problem(path, f"{subnet.name} is used by something else as well (behaviour 1.6.6)", subnet.name)


def _direct(topology: Topology) -> Iterator[Problem]:
    for workload in topology.workloads:
        if workload.direct is not None:
            path = _workload_path(topology, workload.name)
            if found := direct.problem(workload.direct, workload.region, topology.subnetworks, path):
                yield found


def _peers(topology: Topology) -> Iterator[Problem]:
    existing = {network.full_name for network in topology.compute.networks}
    for path, reference, full in annotated(topology, Reference):
        if reference == PEER and full not in existing:
            yield Problem(path, f"The resource '{full}' was not found", full, "NOT_FOUND")


def _workloads(topology: Topology) -> Iterator[Problem]:
    connectors = {c.name: c for c in topology.vpcaccess.connectors}
    secrets = {s.name for s in topology.secretmanager.secrets}
    paths = {found.path[:3]: found.path for found in annotated(topology, Reference) if found.mark == CONNECTOR}
    for workload in topology.workloads:
        place = _workload_path(topology, workload.name)
        path = paths.get(place, place)
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
                yield Problem(place, f"the secret {value} is not declared (secretmanager.secrets)", value)


def _secret(value: str) -> tuple[str, str]:
    project, _, name = value.removeprefix("sm://").partition("/")
    return project, name


def _workload_path(topology: Topology, name: str) -> Path:
    return next((*path, full_names.index(name)) for path, full_names in collections(topology) if name in full_names)


def _external_addresses(topology: Topology) -> Iterator[Problem]:
    """Addresses on the internet are unique; an instance may have a reserved one."""
    c = topology.compute
    given: list[tuple[Path, str | None]] = []
    external = [(i, a) for i, a in enumerate(c.addresses) if a.address_type == "EXTERNAL"]
    given += [(("compute", "addresses", i, "address"), a.address) for i, a in external]
    given += [(("internet", "hosts", i, "address"), h.address) for i, h in enumerate(topology.internet.hosts)]
    given += [
        (("onPrem", "sites", i, "gateway", "externalAddress"), s.gateway.external_address)
        for i, s in enumerate(topology.on_prem.sites)
        if s.gateway
    ]
    given += [
        (("compute", "vpnGateways", i, "vpnInterfaces", j, "ipAddress"), one.ip_address)
        for i, gateway in enumerate(c.vpn_gateways)
        for j, one in enumerate(gateway.vpn_interfaces)
    ]
    reserved = {a.address for _, a in external}
    used_by_instances: set[str] = set()
    for i, instance in enumerate(c.instances):
        for access in instance.nic.access_configs:
            path: Path = ("compute", "instances", i, "networkInterfaces", 0, "accessConfigs", 0, "natIP")
            if access.nat_ip not in reserved or access.nat_ip in used_by_instances:
                given.append((path, access.nat_ip))
            elif access.nat_ip:
                used_by_instances.add(access.nat_ip)
    seen: set[str] = set()
    for path, address in given:
        if address in seen:
            yield Problem(path, f"IP '{address}' is already being used by another resource.", address)
        elif address:
            seen.add(address)


def _vpn(topology: Topology) -> Iterator[Problem]:
    """A classic gateway needs three forwarding rules with one address."""
    rules = topology.compute.forwarding_rules
    for i, gateway in enumerate(topology.compute.target_vpn_gateways):
        have = {(r.ip_protocol, r.port_range) for r in rules if r.target == gateway.full_name}
        path: Path = ("compute", "targetVpnGateways", i)
        if missing := NEEDED - have:
            what = ", ".join(sorted(" ".join(filter(None, item)) for item in missing))
            yield Problem(path, f"{gateway.name} has no forwarding rule for {what}", gateway.name)
        elif external_address(gateway.full_name, rules) is None:
            yield Problem(path, f"the forwarding rules of {gateway.name} have different addresses", gateway.name)
