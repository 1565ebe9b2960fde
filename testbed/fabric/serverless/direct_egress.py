"""Compiles Direct VPC egress: each instance of a workload has a second NIC, in the network itself (behaviour 7.2).

By `eth0` the front end reaches it, as every runtime; `eth1` is a NIC of the VPC network like that of a VM, with an
address of the subnet, so firewall, routes, Cloud NAT and peering mean it as they mean a VM.  The egress setting is the
runtime's own routes: with private-ranges-only the private ranges are behind `eth1`, with all-traffic everything is.
"""

from __future__ import annotations

from collections.abc import Iterable

from testbed.fabric.dropping import drop
from testbed.fabric.firewall.chains import Nic
from testbed.fabric.plan import Chain, Table
from testbed.fabric.vpc import Vpc
from testbed.fabric.wiring import DEFAULT, Space
from testbed.model.core.ranges import PRIVATE_RANGES_ONLY
from testbed.model.drop_causes import EGRESS_ONLY
from testbed.model.serverless.connector import Egress

DEVICE = "eth1"


def through(egress: Egress) -> Iterable[str]:
    """The destinations that go into the network (behaviour 3.2.2)."""
    return [DEFAULT] if egress == "ALL_TRAFFIC" else map(str, PRIVATE_RANGES_ONLY)


def attach(vpc: Vpc, node: Space, nic: Nic, egress: Egress, subnet: str) -> None:
    """Give an instance of a workload its NIC in a network, in the range of a subnet.

    The network is not a way in: what others open is dropped behind the firewall, which has counted it.
    """
    vpc.attach(node, DEVICE, nic, subnet, routes=through(egress))
    inbound = f"-i {DEVICE} -m conntrack ! --ctstate RELATED,ESTABLISHED {drop(EGRESS_ONLY)}"
    node.tables.append(Table("filter", (Chain("INPUT", "ACCEPT", (inbound,)), Chain("FORWARD", "DROP"))))
