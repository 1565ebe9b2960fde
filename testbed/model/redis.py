"""Memorystore for Redis v1: instances (behaviour 4.9)."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from testbed.model.base import Constant, Named, NetworkRef
from testbed.model.ranges import SubnetRange

PORT = 6379
PREFIX = 29


class Instance(Named):
    """A Redis instance in a producer network that is peered with the authorized network."""

    collection: ClassVar[str] = "locations/-/instances"

    tier: Annotated[Literal["BASIC"], Constant] = "BASIC"
    memory_size_gb: int = Field(default=1, ge=1, le=300)
    auth_enabled: bool = False
    authorized_network: NetworkRef
    connect_mode: Annotated[Literal["DIRECT_PEERING"], Constant] = "DIRECT_PEERING"
    reserved_ip_range: SubnetRange | None = None
    """A /29; the service picks an unused one if it is not given (behaviour 4.9.2)."""

    @field_validator("reserved_ip_range")
    @classmethod
    def _eight_addresses(cls, value: str | None) -> str | None:
        if value is not None and IPv4Network(value).prefixlen != PREFIX:
            raise ValueError(f"the range of a Redis instance must be a /{PREFIX} (behaviour 4.9.2)")
        return value
