"""How the front end tells requests from inside a network from those of the internet (behaviour 3.3.5, 3.8.1).

Inside a network, Google's addresses are in its edge, where the control plane listens.  Requests for workloads it brings
to a port of the front end of its own, with a PROXY header (haproxy's proxy-protocol.txt) that says from where: by the
source address, and by a destination that stands for the network.  Nobody else gets to that port: the address that the
control plane has on the internet is that segment's own, so that nobody else can open a connection from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address

from testbed.fabric.plan import Chain, Table
from testbed.model.core.ranges import PUBLIC_GOOGLE_API
from testbed.model.core.resource import segment
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology

PORT = 81


def mark(network: str) -> str:
    """What stands for a network, by its full name: an address of no host."""
    return str(IPv4Address(hashlib.sha256(network.encode()).digest()[:4]))


def admitted(topology: Topology, workload: Workload) -> Iterator[str]:
    """The networks from which a workload can be called whose ingress is internal.

    They are those of its project and, except for App Engine, the Shared VPC network that it sends to (Google's pages on
    ingress settings).
    """
    parts = workload.name.split("/")
    project = parts[1]  # an application has the id of its project
    sends_to = None if parts[0] == "apps" else topology.reached_network(workload)
    for network in topology.compute.networks:
        if segment(network.full_name, "projects") == project or network.full_name == sends_to:
            yield network.full_name


def guard() -> Table:
    """The table of the front end's node that keeps others from the port."""
    return Table(
        "filter", (Chain("INPUT", "ACCEPT", (f"! -s {PUBLIC_GOOGLE_API}/32 -p tcp -m tcp --dport {PORT} -j DROP",)),)
    )
