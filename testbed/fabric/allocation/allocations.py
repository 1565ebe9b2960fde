"""What was given out: addresses, ranges, and names of nodes and segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from testbed.fabric.allocation.keys import AddressKey, NameKey, RangeKey


@dataclass(frozen=True, slots=True)
class Allocations:
    """All that was given out.  A change of the topology adds to it and takes from it, and leaves the rest alone."""

    addresses: Mapping[AddressKey, str] = field(default_factory=lambda: MappingProxyType({}))
    ranges: Mapping[RangeKey, str] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[NameKey, str] = field(default_factory=lambda: MappingProxyType({}))

    def nodes(self, resource: str) -> frozenset[str]:
        """What the nodes of a resource are called, by its full name: a workload may have several, or none now."""
        return frozenset(name for key, name in self.names.items() if key.is_of(resource))

    def edges(self) -> dict[str, str]:
        """The names of all networks' edges, with the full names of the networks."""
        return {name: key.owner for key, name in self.names.items() if key == NameKey.edge(key.owner)}

    def networks(self) -> list[str]:
        """The names of all networks' segments."""
        return [name for key, name in self.names.items() if key == NameKey.network(key.owner)]

    def regions(self) -> list[str]:
        """The names of all regions' segments."""
        return [name for key, name in self.names.items() if key == NameKey.region(key.owner)]
