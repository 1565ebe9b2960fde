"""Cloud NAT: which gateway translates which address to what (behaviour 4.13).

A gateway gives each NIC a block of ports of one of its addresses, for TCP and UDP and as ICMP identifiers.  A block
says how many connections a NIC can have *to one destination* at a time: to another one the same ports are used again.

With dynamic allocation Google begins with the least number of ports and doubles it when a VM needs more, which takes it
some seconds.  Here a VM may use at once what it would grow to: an equal share of the gateway's ports, up to the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.allocation.members import members
from testbed.model.compute.router import Router, RouterNat
from testbed.model.core.ranges import usable
from testbed.model.topology import Topology

FIRST_PORT = 1024
PORTS = 65536 - FIRST_PORT
"""Of each address and protocol (behaviour 4.13.3)."""


@dataclass(frozen=True, slots=True)
class Block:
    """The ports that a NIC has, of one address."""

    external: str
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Gateway:
    """A NAT gateway."""

    router: str
    """The full name of its router."""
    nat: RouterNat
    externals: tuple[str, ...]
    ranges: tuple[IPv4Network, ...]
    """Where the NICs are that it serves, unless they have an external address of their own."""

    @property
    def name(self) -> str:
        """Its short name."""
        return self.nat.name

    def serves(self, address: str) -> bool:
        """Whether a NIC that has no external address is served."""
        return any(IPv4Address(address) in cidr for cidr in self.ranges)

    def blocks(self, addresses: Iterable[str]) -> dict[str, Block]:
        """The block of each NIC of these that it serves; the last ones have none if all ports are given out.

        A NIC's block depends on its address, so it seldom moves when others come and go.
        """
        served = sorted({a for a in addresses if self.serves(a)}, key=IPv4Address)
        size = self._size(len(served))
        slots = self._slots(size)
        found: dict[int, str] = {}
        for address in served[:slots]:
            preferred = int(IPv4Address(address))
            found[next(slot for n in range(slots) if (slot := (preferred + n) % slots) not in found)] = address
        return {address: self._block(slot, size) for slot, address in found.items()}

    def addresses_missing(self, addresses: Iterable[str]) -> int:
        """How many more addresses it would take to give each NIC of these a block."""
        return max(0, _externals_for(sum(map(self.serves, addresses)), self.nat) - len(self.externals))

    def _size(self, nics: int) -> int:
        """The ports of each block: with dynamic allocation as many as all can have alike."""
        size = self.nat.most_ports
        while size > self.nat.least_ports and self._slots(size) < nics:
            size //= 2
        return min(size, PORTS)

    def _slots(self, size: int) -> int:
        return len(self.externals) * (PORTS // min(size, PORTS))

    def _block(self, slot: int, size: int) -> Block:
        number, index = divmod(slot, len(self.externals))
        first = FIRST_PORT + number * size
        return Block(self.externals[index], first, first + size - 1)


def gateways(topology: Topology, router: Router, addresses: Mapping[AddressKey, str]) -> Iterator[Gateway]:
    """The gateways of a router; `addresses` are those that were given out (`testbed.fabric.allocation.addressing`)."""
    for nat in router.nats:
        externals = tuple(addresses[key] for key in address_keys(topology, router, nat))
        yield Gateway(router.full_name, nat, externals, tuple(_ranges(topology, router, nat)))


def address_keys(topology: Topology, router: Router, nat: RouterNat) -> tuple[AddressKey, ...]:
    """The keys of a gateway's addresses: those that the user has reserved, or as many as it takes for all NICs."""
    if nat.nat_ips:
        return tuple(map(AddressKey.reserved, nat.nat_ips))
    number = max(1, _externals_for(_served(topology, router, nat), nat))
    return tuple(AddressKey.nat(router.full_name, nat.name, n) for n in range(number))


def _externals_for(nics: int, nat: RouterNat) -> int:
    """How many addresses it takes to give so many NICs a block each."""
    return -(-nics // (PORTS // min(nat.least_ports, PORTS)))


def _served(topology: Topology, router: Router, nat: RouterNat) -> int:
    """How many NICs a gateway may have to serve; of a connector as many as its range has addresses."""
    here = {str(cidr) for cidr in _ranges(topology, router, nat)}
    inside = [one.range for one in members(topology) if one.external is None]
    connectors = {topology.connector_range(c) for c in topology.connectors_in(router.network)}
    return sum(cidr in here for cidr in inside) + sum(len([*usable(cidr)]) for cidr in connectors & here)


def _ranges(topology: Topology, router: Router, nat: RouterNat) -> Iterator[IPv4Network]:
    chosen = {entry.name for entry in nat.subnetworks}
    for subnet in topology.compute.subnetworks:
        here = (subnet.network, subnet.region) == (router.network, router.region)
        if here and (not chosen or subnet.full_name in chosen):
            yield IPv4Network(subnet.ip_cidr_range)
    if not chosen:  # a connector's hidden subnet is in all subnets, but cannot be named (behaviour 3.3.3)
        for connector in topology.connectors_in(router.network):
            if connector.region == router.region and connector.ip_cidr_range:
                yield IPv4Network(connector.ip_cidr_range)
