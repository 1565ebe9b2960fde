"""What each connector instance has carried: the kernel's counters in the network's segment."""

from __future__ import annotations

from testbed.control.store import Store
from testbed.fabric.compiler import connector_addresses
from testbed.fabric.naming import host_name
from testbed.fabric.vpc import counting_set
from testbed.kernel import namespace
from testbed.kernel.firewall import members
from testbed.load.result import InstanceTraffic
from testbed.model.base import last
from testbed.model.names import vpc_segment
from testbed.model.topology import Topology


def instance_traffic(store: Store, topology: Topology) -> list[InstanceTraffic]:
    """Flows opened and bytes carried (both ways) into the network, per address of a connector's range that was used.

    The counters belong to the network, so they outlive the instance.

    Raises:
        NotFound: if the network's namespace is not there.
    """
    names = {instance.address: instance.name for instance in store.instances}
    found: list[InstanceTraffic] = []
    for connector in topology.vpcaccess.connectors:
        path = namespace.path(host_name(store.name, vpc_segment(last(topology.connector_network(connector)))))
        addresses = connector_addresses(topology.connector_range(connector))
        flows = members(path, counting_set(addresses, "flows"))
        sent = members(path, counting_set(addresses, "sent"))
        received = members(path, counting_set(addresses, "received"))
        for address in addresses:
            carried = sum(count[address].bytes for count in (sent, received) if address in count)
            opened = flows[address].packets if address in flows else 0
            if opened or carried or address in names:
                gone = f"{last(connector.name)} (gone)"
                found.append(InstanceTraffic(names.get(address, gone), address, opened, carried))
    return found
