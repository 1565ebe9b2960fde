"""Cloud NAT: which gateway translates which address to what (behaviour 4.13)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from testbed.model.router import Router, RouterNat
from testbed.model.topology import Topology


@dataclass(frozen=True, slots=True)
class Gateway:
    """A NAT gateway."""

    name: str
    externals: tuple[str, ...]
    ranges: tuple[IPv4Network, ...]
    """Where the NICs are that it serves, unless they have an external address of their own."""

    def external_of(self, address: str) -> str | None:
        """The address that a NIC is translated to; with several, each NIC keeps one of them.

        (Google gives a VM blocks of ports of one address, and of others when they are used up; ours are not limited.)
        """
        number = IPv4Address(address)
        if not any(number in cidr for cidr in self.ranges):
            return None
        return self.externals[int(number) % len(self.externals)]


def gateways(topology: Topology, router: Router, addresses: Mapping[str, str]) -> Iterator[Gateway]:
    """The gateways of a router; `addresses` are those that were given out (`testbed.fabric.addressing`)."""
    for nat in router.nats:
        keys = nat.nat_ips or (auto_address(router, nat),)
        yield Gateway(nat.name, tuple(addresses[key] for key in keys), tuple(_ranges(topology, router, nat)))


def auto_address(router: Router, nat: RouterNat) -> str:
    """The key of the address that a gateway without `natIps` is given."""
    return f"{router.full_name}/nats/{nat.name}"


def _ranges(topology: Topology, router: Router, nat: RouterNat) -> Iterator[IPv4Network]:
    chosen = {entry.name for entry in nat.subnetworks}
    for subnet in topology.compute.subnetworks:
        here = (subnet.network, subnet.region) == (router.network, router.region)
        if here and (not chosen or subnet.full_name in chosen):
            yield IPv4Network(subnet.ip_cidr_range)
    if not chosen:  # a connector's hidden subnet is in all subnets, but cannot be named (behaviour 3.3.3)
        for connector in topology.connectors_in(router.network):
            if connector.region == router.region:
                yield IPv4Network(topology.connector_range(connector))
