"""What each connector instance has carried: the kernel's counters of its connections and of its tunnel."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.control.state.store import Store
from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.compiler import connector_addresses
from testbed.fabric.serverless.region import RETURN, TUNNEL
from testbed.fabric.vpc import flow_counters
from testbed.kernel import namespace
from testbed.kernel.device_counters import device_bytes
from testbed.kernel.firewall import members
from testbed.model.core.resource import last
from testbed.model.topology import Topology


@dataclass(frozen=True, slots=True)
class InstanceTraffic:
    """What a connector instance has forwarded: since it was made, or (as part of a result) during the load."""

    instance: str
    address: str
    flows: int
    bytes: int | None
    """Both ways; None of an instance that is gone, and its device with it."""


def instance_traffic(store: Store, topology: Topology) -> list[InstanceTraffic]:
    """Flows opened into the network and bytes carried, per address of a connector's range that was used.

    Flows are counted in the network, so they outlive the instance; bytes are those of the instance's tunnel devices.

    Raises:
        NotFound: if the network's namespace is not there.
    """
    names = {(instance.connector, instance.address): instance.name for instance in store.connectors.instances()}
    running, processes = store.running, store.nodes.processes()
    found: list[InstanceTraffic] = []
    for connector in topology.vpcaccess.connectors:
        path = namespace.segment(store.name, running.name(NameKey.network(topology.connector_network(connector))))
        addresses = connector_addresses(topology.connector_range(connector))
        flows = members(path, flow_counters(addresses))
        for address in addresses:
            name = names.get((connector.name, address))
            opened = flows[address].packets if address in flows else 0
            if name is not None:
                pid = processes.get(name)
                found.append(InstanceTraffic(name, address, opened, _carried(pid) if pid else None))
            elif opened:
                found.append(InstanceTraffic(f"{last(connector.name)} (gone)", address, opened, None))
    return found


def _carried(pid: int) -> int | None:
    """Bytes of both directions, each of which has a device of its own."""
    there, back = (device_bytes(pid, device) for device in (TUNNEL, RETURN))
    return None if there is None or back is None else there + back
