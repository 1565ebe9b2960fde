"""The state of a running testbed, apart from its topology: addresses, connector instances, generated secrets.

The control package keeps it; the compiler reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, NameKey, RangeKey
from testbed.model.serverless.capacity import MachineType
from testbed.model.serverless.connector import DEFAULT_MACHINE_TYPE

Health = Literal["starting", "healthy", "unhealthy"]
ConnectorState = Literal["CREATING", "READY"]
"""The state of a connector that is a part of the network.  One in ERROR is none: the error is its resource's."""


@dataclass(frozen=True, slots=True)
class ConnectorInstance:
    """One instance of a connector.  Only a healthy one is given new flows."""

    name: str
    connector: str
    """The connector's resource name."""
    address: str
    """Its address in the connector's /28."""
    health: Health = "starting"
    machine_type: MachineType = DEFAULT_MACHINE_TYPE


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a server with TLS shows, in PEM, and the CA that has signed it and nothing else."""

    ca: str
    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class LearnedRoute:
    """A route that a BGP speaker has learned from its peer."""

    node: str
    """The speaker's node."""
    destination: str
    priority: int
    """The MED that the peer gave it; 0 if it gave none."""


@dataclass(frozen=True, slots=True)
class Running:
    """The running state that the compiler needs."""

    allocations: Allocations = field(default_factory=Allocations)
    """What `fabric.allocation.addressing` has given out."""
    instances: tuple[ConnectorInstance, ...] = ()
    auth_strings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """AUTH strings of Redis instances by resource name."""
    certificates: Mapping[str, ServerCertificate] = field(default_factory=lambda: MappingProxyType({}))
    """Of Redis instances with in-transit encryption, by resource name."""
    load_generator: bool = False
    """Whether the load generator is on the internet segment."""
    learned: tuple[LearnedRoute, ...] = ()
    """What BGP has brought, from all nodes that speak it."""
    vlans: bool = False
    """Whether the kernel has VLANs (IEEE 802.1Q)."""

    def address(self, key: AddressKey) -> str:
        """An address that was given out."""
        return self.allocations.addresses[key]

    def range(self, key: RangeKey) -> str:
        """A range that was given out."""
        return self.allocations.ranges[key]

    def name(self, key: NameKey) -> str:
        """What a node or segment is called."""
        return self.allocations.names[key]
