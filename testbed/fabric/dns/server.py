"""Compiles the name server: one node, with a NIC in each network and in each region of serverless infrastructure.

Each network has an address of the server, out of the range that Cloud DNS asks from (35.199.192.0/19), which tells the
server what view is meant.  What a VM asks 169.254.169.254 is translated to it, in the network, and the answer leaves by
the routing table of that address: networks may use the same addresses.  What a runtime asks is translated in its
region, to the address of the network that its connector is in, whatever its egress setting (behaviour 3.4.2); of those
that are in no network, to an address that stands for the public view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from testbed.fabric.allocation.addressing import inner_share
from testbed.fabric.allocation.keys import AddressKey, NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.dns import files, views
from testbed.fabric.inventory import Participant
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import INFRASTRUCTURE_CORES, KernelRoute, Node, RoutingRule
from testbed.fabric.serverless.region import Region, Runtime
from testbed.fabric.vpc import Vpc
from testbed.fabric.wiring import DEFAULT, GATEWAY, Space, Wiring
from testbed.model.topology import Topology

_MTU = 1500
_RULE = 1000
_RELOAD = ("python3", "-I", "/usr/local/lib/testbed/reload.py")

_MEMORY = 4 << 30
"""Bytes.  BIND takes 10 MB for each view, and as much again while it reads its files anew.  The limit is the same for
any number of networks: another limit would mean another container."""
_ALLOCATOR = {"MALLOC_CONF": "narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0"}
"""jemalloc(3): what reading the files took is given back at once."""


@dataclass(slots=True)
class NameServer:
    """The name server under construction."""

    topology: Topology
    running: Running
    wiring: Wiring
    participants: Sequence[Participant]
    """Who is in the networks."""
    space: Space
    shares: dict[str, str] = field(default_factory=dict)
    """Addresses of runtimes, with the server's device that leads to them."""

    @classmethod
    def begin(
        cls, topology: Topology, running: Running, wiring: Wiring, participants: Sequence[Participant]
    ) -> NameServer:
        """A server without any NIC."""
        return cls(topology, running, wiring, participants, wiring.node(running.name(NameKey.name_server())))

    def region(self, name: str, region: Region, networks: Mapping[Runtime, str | None]) -> None:
        """Answer the runtimes of a region; each sees the view of a network, or the public one."""
        address, device = self._address(name), interface_name(region.space.name)
        share = inner_share(region.share)
        port = self.wiring.attach(self.space, device, region.space, address, mtu=_MTU, routes=[share])
        self.shares[share] = device
        for runtime in region.runtimes:
            network = networks[runtime]
            seen = address if network is None else self._address(network)
            region.resolve(runtime, seen, KernelRoute(f"{seen}/32", port, None if network is None else address))

    def network(self, name: str, vpc: Vpc) -> None:
        """Answer a network, and ask those that it reaches."""
        address, device = self._address(name), interface_name(vpc.space.name)
        vpc.name_server = (self.wiring.attach(self.space, device, vpc.space, address, mtu=vpc.mtu, routes=()), address)
        table = int(IPv4Address(address)) & 0xFFFF
        self.space.rules.add(RoutingRule(_RULE, f"{address}/32", table))
        ways = {DEFAULT: device, **self.shares}
        self.space.routes |= {KernelRoute(to, by, GATEWAY, table=table) for to, by in ways.items()}

    def node(self) -> Node:
        """The container that the server runs in."""
        topology, addresses = self.topology, self.running.allocations.addresses
        made = [
            views.for_network(topology, addresses, self.participants, network.full_name)
            for network in topology.compute.networks
        ]
        if topology.serverless_regions:
            made.append(views.for_nobody(topology, [self._address(region) for region in topology.serverless_regions]))
        return Node(
            self.space.name,
            "name-server",
            "testbed/dns",
            files=files.written(made),
            reload=_RELOAD,
            environment=_ALLOCATOR,
            memory=_MEMORY,
            cores=INFRASTRUCTURE_CORES,
        )

    def _address(self, place: str) -> str:
        return self.running.address(AddressKey.name_server(place))
