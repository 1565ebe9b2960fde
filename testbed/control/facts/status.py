"""The facts of a running testbed, as rows: connectors, instances, gateways, policies, services, nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

from testbed.control.facts.limits import in_words, limit_drops
from testbed.control.facts.names import by_name
from testbed.control.facts.traffic import instance_traffic
from testbed.control.lifecycle import CONNECTOR
from testbed.control.state.store import Store
from testbed.errors import NotFound
from testbed.fabric.allocation.cloud_nat import gateways
from testbed.fabric.allocation.keys import AddressKey, NameKey
from testbed.fabric.compiler import compile_topology
from testbed.fabric.firewall.rules import label
from testbed.fabric.plan import Interface, Plan
from testbed.json_object import Json
from testbed.kernel import namespace
from testbed.kernel.conntrack import not_inserted
from testbed.kernel.firewall import counters
from testbed.model.compute.firewall_policy import RegionNetworkFirewallPolicy
from testbed.model.core.resource import last, segment
from testbed.model.drop_causes import OUT_OF_RESOURCES, cause_of
from testbed.model.serverless.connector import DEFAULT_MACHINE_TYPE
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology
from testbed.nodes.container import RunningNode
from testbed.nodes.docker import DockerNodes


def status(store: Store, topology: Topology, nodes: DockerNodes) -> Json:
    """All of it, with what the state says of itself."""
    return {
        **store.export(),
        "controller": os.getpid(),
        "endpoint": f"http://127.0.0.1:{store.port}",
        "connectors": list(connector_rows(store, topology)),
        "instances": list(instance_rows(store, topology)),
        "natGateways": list(nat_rows(store, topology)),
        "firewallPolicies": list(policy_rows(store, topology)),
        "services": list(service_rows(store, topology)),
        "nodes": node_rows(store, topology, nodes.running()),
        "notes": notes(store, topology),
    }


def service_url(workload: Workload) -> str:
    """The URL of a workload, as on the internet."""
    return f"http://{workload.host}{workload.path}"


def notes(store: Store, topology: Topology) -> list[str]:
    """In what the testbed is less than what it stands for, as the kernel lacks something."""
    if topology.compute.interconnect_attachments and not store.vlans:
        return ["VLAN attachments are untagged: the kernel had no VLANs when the testbed was begun (`testbed doctor`)"]
    return []


def connector_rows(store: Store, topology: Topology) -> Iterator[Json]:
    """Connectors with their state and instances."""
    states = store.connectors.states()
    for connector in topology.vpcaccess.connectors:
        mine = [i for i in store.connectors.instances() if i.connector == connector.name]
        yield {
            "name": connector.id,
            "region": connector.region,
            "network": last(topology.connector_network(connector)),
            "ipCidrRange": topology.connector_range(connector),
            "machineType": connector.machine_type,
            "capacity": str(topology.capacity_of(connector)),
            "minInstances": connector.min_instances,
            "maxInstances": connector.max_instances,
            "state": states.get(connector.name, "CREATING"),
            "detail": "",
            "instances": len(mine),
            "healthy": sum(i.health == "healthy" for i in mine),
        }
    for record in store.resources.of(CONNECTOR):
        if record.effective is None:  # it is no part of the network: not yet, or never (behaviour 1.7.7)
            body = {"network": "", "ipCidrRange": "", "maxInstances": "", **record.body}
            yield {
                "name": record.id,
                "region": segment(record.name, "locations"),
                "network": last(body["network"]),
                "ipCidrRange": body["ipCidrRange"],
                "machineType": body.get("machineType", DEFAULT_MACHINE_TYPE),
                "capacity": "",
                "minInstances": body.get("minInstances", 2),
                "maxInstances": body["maxInstances"],
                "state": "ERROR" if record.error else "CREATING",
                "detail": record.error["message"] if record.error else "",
                "instances": 0,
                "healthy": 0,
            }


def instance_rows(store: Store, topology: Topology) -> Iterator[Json]:
    """Connector instances with what they have carried and dropped."""
    carried = {t.address: t for t in instance_traffic(store, topology)}
    processes = store.nodes.processes()
    for instance in store.connectors.instances():
        traffic = carried.get(instance.address)
        drops = limit_drops(processes.get(instance.name, 0))
        yield {
            "name": instance.name,
            "connector": last(instance.connector),
            "address": instance.address,
            "health": instance.health,
            "flows": traffic.flows if traffic else 0,
            "bytes": (traffic and traffic.bytes) or 0,
            "drops": drops,
            "dropped": in_words(drops),
        }


def nat_rows(store: Store, topology: Topology) -> Iterator[Json]:
    """Cloud NAT gateways, with how many packets found no port, as their VM has none or all of its are in use."""
    running = store.running
    for router in topology.compute.routers:
        for gateway in gateways(topology, router, running.allocations.addresses):
            path = namespace.segment(topology.name, running.name(NameKey.nat(router.full_name, gateway.name)))
            try:
                refused = (rule for rule in counters(path) if cause_of(rule.comment) is OUT_OF_RESOURCES)
                dropped = not_inserted(path) + sum(rule.packets for rule in refused)
            except NotFound:  # it is being made
                dropped = 0
            yield {
                "name": gateway.name,
                "router": router.name,
                "region": router.region,
                "addresses": ", ".join(gateway.externals),
                "ports": gateway.nat.least_ports,
                "dropped": dropped,
            }


def policy_rows(store: Store, topology: Topology) -> Iterator[Json]:
    """Firewall policies, with how many connections have met one of their rules in the networks that they are for."""
    running, compute = store.running, topology.compute
    for policy in (*compute.network_firewall_policies, *compute.region_network_firewall_policies):
        met = 0
        for network in policy.networks:
            path = namespace.segment(topology.name, running.name(NameKey.network(network)))
            with suppress(NotFound):  # it is being made
                met += sum(one.packets for one in counters(path) if one.comment.startswith(f"{label(policy)}:"))
        region = policy.region if isinstance(policy, RegionNetworkFirewallPolicy) else "global"
        networks = ", ".join(map(last, policy.networks))
        yield {"name": policy.name, "region": region, "networks": networks, "rules": len(policy.rules), "met": met}


def service_rows(store: Store, topology: Topology) -> Iterator[Json]:
    """Serverless services and where they are reached."""
    for name, workload in by_name(store, topology.workloads).items():
        yield {
            "name": name,
            "kind": workload.kind,
            "region": workload.region,
            "connector": last(workload.connector) if workload.connector else "",
            "egress": workload.egress.lower().replace("_", "-") if workload.connector else "",
            "url": service_url(workload),
            "frontEnd": store.running.allocations.addresses.get(AddressKey.front_end(), ""),
        }


def node_rows(store: Store, topology: Topology, present: Mapping[str, RunningNode]) -> list[Json]:
    """Nodes with their addresses, and whether they run."""
    plan = compile_topology(topology, store.running)
    addresses: dict[str, list[str]] = {}
    for space, interface in _interfaces(plan):
        found = sorted(prefix.removesuffix("/32") for prefix in interface.addresses)
        addresses.setdefault(space, []).extend(found)
    return [
        {
            "name": node.name,
            "kind": node.kind,
            "addresses": ", ".join(addresses.get(node.name, [])),
            "state": present[node.name].state if node.name in present else "missing",
            "image": node.image,
        }
        for node in sorted(plan.nodes, key=lambda node: (node.kind, node.name))
    ]


def _interfaces(plan: Plan) -> Iterator[tuple[str, Interface]]:
    """The devices that may have addresses, with their namespaces."""
    for veth in plan.veths:
        yield from ((end.namespace, end.interface) for end in (veth.a, veth.b))
    for space in plan.namespaces:
        yield from ((space.name, vlan.interface) for vlan in space.vlans)
