"""`status` and `ls`: what there is and how it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import typer

from testbed.cli.context import Name, nodes_of, opened, require_root
from testbed.cli.output import JsonOption, print_json, results, table
from testbed.cli.view import connector_rows, instance_rows, nat_rows, notes, policy_rows, service_rows
from testbed.control.state.lock import CONTROLLER, holder
from testbed.control.state.store import Store, names
from testbed.errors import NotFound
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Interface, Plan
from testbed.json_object import Json
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command(name="ls")(ls)


def status(name: Name = None, json: JsonOption = False) -> None:
    """Show a testbed: connectors and their instances, services and their URLs, nodes."""
    with opened(name) as (store, topology):
        nodes = nodes_of(store)
        controller = holder(store.folder, CONTROLLER)
        facts: Json = {
            **store.export(),
            "controller": controller,
            "endpoint": f"http://127.0.0.1:{store.port}" if controller and store.port else None,
            "connectors": list(connector_rows(store, topology)),
            "instances": list(instance_rows(store, topology)),
            "natGateways": list(nat_rows(store, topology)),
            "firewallPolicies": list(policy_rows(store, topology)),
            "services": list(service_rows(store, topology)),
            "nodes": list(_node_rows(store, topology, nodes)),
            "notes": notes(store, topology),
        }
    if json:
        print_json(facts)
        return
    complete = "" if facts["complete"] else " [yellow](the last `up` did not finish)[/]"
    watched = (
        f"controller pid {controller}, APIs at {facts['endpoint']}"
        if controller
        else "[yellow]no controller: `testbed up` starts it[/]"
    )
    results.print(f"testbed [bold]{facts['name']}[/]{complete}, {watched}")
    for title, columns in _TABLES.items():
        if rows := facts[title]:
            results.print()
            results.print(table([*columns.values()], ([row[key] for key in columns] for row in rows), title))
    for note in facts["notes"]:
        results.print(f"\n[bold]note:[/] {note}")
    for row in facts["connectors"]:
        if row["detail"]:
            results.print(f"\n[bold red]{row['name']}:[/] {row['detail']}")


_TABLES = {
    "connectors": {
        "name": "connector",
        "region": "region",
        "network": "network",
        "ipCidrRange": "range",
        "machineType": "machine type",
        "minInstances": "min",
        "maxInstances": "max",
        "state": "state",
    },
    "instances": {"name": "instance", "address": "address", "health": "health", "flows": "flows", "bytes": "bytes"},
    "natGateways": {
        "name": "NAT gateway",
        "router": "router",
        "region": "region",
        "addresses": "addresses",
        "ports": "ports per VM",
        "dropped": "out of resources",
    },
    "firewallPolicies": {
        "name": "firewall policy",
        "region": "region",
        "networks": "networks",
        "rules": "rules",
        "met": "connections",
    },
    "services": {"name": "service", "kind": "kind", "connector": "connector", "egress": "egress", "url": "url"},
    "nodes": {"name": "node", "kind": "kind", "addresses": "addresses", "state": "state"},
}


def _node_rows(store: Store, topology: Topology, nodes: DockerNodes) -> list[Json]:
    plan = compile_topology(topology, store.running)
    present = nodes.running()
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


def ls(json: JsonOption = False) -> None:
    """List the testbeds of this machine."""
    require_root()
    rows: list[Json] = []
    for name in names():
        with suppress(NotFound), Store.open(name) as store:  # a `down` may be removing it
            rows.append({**store.export(), "controller": holder(store.folder, CONTROLLER)})
    if json:
        print_json(rows)
    elif not rows:
        results.print("no testbed is running; `testbed up` starts one")
    else:
        columns = {"name": "name", "complete": "complete", "controller": "controller", "source": "topology"}
        results.print(table([*columns.values()], ([row[key] for key in columns] for row in rows)))
