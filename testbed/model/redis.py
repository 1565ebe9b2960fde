"""Memorystore for Redis v1: instances (behaviour 4.9)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from testbed.model.base import Constant, Named, NetworkRef
from testbed.model.ranges import Range

PORT = 6379


class Instance(Named):
    """A Redis instance in a producer network that is peered with the authorized network."""

    collection: ClassVar[str] = "locations/-/instances"

    tier: Annotated[Literal["BASIC"], Constant] = "BASIC"
    memory_size_gb: int = Field(default=1, ge=1, le=300)
    auth_enabled: bool = False
    authorized_network: NetworkRef
    connect_mode: Annotated[Literal["DIRECT_PEERING"], Constant] = "DIRECT_PEERING"
    reserved_ip_range: Range | None = None
    """A /29; the service picks an unused one if it is not given (behaviour 4.9.2)."""
