"""What a running testbed knows besides its topology: addresses given out, connector instances, generated secrets.

The control package keeps it; the compiler reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Health = Literal["starting", "healthy", "unhealthy"]


@dataclass(frozen=True, slots=True)
class ConnectorInstance:
    """One instance of a connector.  Only a healthy one is given new flows."""

    name: str
    connector: str
    """The connector's resource name."""
    address: str
    """Its address in the connector's /28."""
    health: Health = "starting"
    machine_type: str = "e2-micro"


@dataclass(frozen=True, slots=True)
class Running:
    """The running state that the compiler needs."""

    addresses: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Allocations (`testbed.fabric.addressing`): key to address or range."""
    instances: tuple[ConnectorInstance, ...] = ()
    auth_strings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """AUTH strings of Redis instances by resource name."""
    load_generator: bool = False
    """Whether the load generator is on the internet segment."""
