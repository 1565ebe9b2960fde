"""Memorystore for Redis v1: instances (behaviour 4.9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationInfo, field_validator

from testbed.model.core.ranges import SubnetRange
from testbed.model.core.resource import ComputeName, Constant, NamedResource, NetworkRef

PORT, TLS_PORT = 6379, 6378
"""Of an instance without and with in-transit encryption: each has one of them (behaviour 4.9.5)."""
PREFIX = 29
_ALLOCATED = TypeAdapter(ComputeName)
_RANGE = TypeAdapter(SubnetRange)
POLICY = "maxmemory-policy"
MAXMEMORY = "maxmemory-gb"
_SWITCH = re.compile("yes|no")
CONFIGS: Mapping[str, re.Pattern[str]] = {
    POLICY: re.compile("noeviction|(allkeys|volatile)-(lru|lfu|random)|volatile-ttl"),
    "notify-keyspace-events": re.compile("[KEg$lshzxetdmAn]*"),
    "activedefrag": re.compile("no"),  # "yes" needs an allocator that Debian's Redis is not built with
    "lfu-decay-time": re.compile(r"\d{1,9}"),
    "lfu-log-factor": re.compile(r"\d{1,9}"),
    MAXMEMORY: re.compile(r"\d{1,3}(\.\d{1,3})?"),
    "lazyfree-lazy-eviction": _SWITCH,
    "lazyfree-lazy-expire": _SWITCH,
    "lazyfree-lazy-user-del": _SWITCH,
    "lazyfree-lazy-user-flush": _SWITCH,
    "maxmemory-clients": re.compile(r"\d{1,12}|\d{1,2}%"),
    "timeout": re.compile(r"\d{1,9}"),
    "stream-node-max-bytes": re.compile(r"\d{1,9}"),
    "stream-node-max-entries": re.compile(r"\d{1,9}"),
}
"""The settings that Memorystore lets its users change (redis v1, gcloud), and the values that ours takes."""
NOT_BUILT: Mapping[str, str] = {
    "STANDARD_HA": "an instance of the testbed has one node (tier BASIC)",
    "READ_REPLICAS_ENABLED": "an instance of the testbed has one node, and no replica",
}
"""Settings that Google also has, and why the testbed lacks them."""


class RedisInstance(NamedResource):
    """A Redis instance in a producer's network that is peered with the authorized network.

    With DIRECT_PEERING that network is the instance's own, with PRIVATE_SERVICE_ACCESS it is behind the private
    connection of the authorized network (behaviour 4.9.1, 4.9.3).
    """

    collection: ClassVar[str] = "locations/-/instances"
    not_built: ClassVar = {
        "customerManagedKey": "the testbed encrypts nothing",
        "alternativeLocationId": "an instance of the testbed has one node",
        "secondaryIpRange": "an instance of the testbed has no read replicas",
        "tags": "the testbed has no resource manager tags",
        "maintenanceVersion": "the testbed maintains nothing",
    }

    tier: Annotated[Literal["BASIC"], Constant] = "BASIC"
    memory_size_gb: int = Field(default=1, ge=1, le=300)
    auth_enabled: bool = False
    authorized_network: NetworkRef
    connect_mode: Annotated[Literal["DIRECT_PEERING", "PRIVATE_SERVICE_ACCESS"], Constant] = "DIRECT_PEERING"
    transit_encryption_mode: Annotated[Literal["DISABLED", "SERVER_AUTHENTICATION"], Constant] = "DISABLED"
    read_replicas_mode: Annotated[Literal["READ_REPLICAS_DISABLED"], Constant] = "READ_REPLICAS_DISABLED"
    redis_version: Annotated[
        Literal["REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2"], Constant
    ] = "REDIS_7_0"
    """Kept for its readers: Debian 12's server, Redis 7.0, runs in each case.  7.0 is also Memorystore's default."""
    redis_configs: Mapping[str, str] = Field(default_factory=dict)
    reserved_ip_range: str | None = None
    """A /29; the service picks an unused one if it is not given (behaviour 4.9.2).  With PRIVATE_SERVICE_ACCESS the
    name of a range of the private connection, from which the /29 is taken (behaviour 4.9.3)."""

    @field_validator("tier", "read_replicas_mode", mode="before")
    @classmethod
    def _is_built(cls, value: Any) -> Any:
        constant = str(value).upper().replace("-", "_")
        if reason := NOT_BUILT.get(constant):
            raise ValueError(f"{constant} is not built yet: {reason}")
        return value

    @field_validator("redis_configs")
    @classmethod
    def _settings(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, setting in value.items():
            if name not in CONFIGS:
                raise ValueError(f"{name} cannot be set; these settings can: {', '.join(CONFIGS)}")
            if not CONFIGS[name].fullmatch(setting):
                raise ValueError(f"{name} must match {CONFIGS[name].pattern}, not {setting!r}")
        return value

    @field_validator("reserved_ip_range")
    @classmethod
    def _range_or_name(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A range or a name, by the connect mode, which has been read before."""
        if not value:
            return None
        if info.data.get("connect_mode") == "PRIVATE_SERVICE_ACCESS":
            if "/" in value:
                raise ValueError(
                    "must be the name of an allocated range with PRIVATE_SERVICE_ACCESS"
                )  # behaviour 4.9.3
            return _ALLOCATED.validate_python(value)
        if IPv4Network(_RANGE.validate_python(value)).prefixlen != PREFIX:
            raise ValueError(f"the range of a Redis instance must be a /{PREFIX}")  # behaviour 4.9.2
        return str(IPv4Network(value))

    @property
    def direct(self) -> bool:
        """Whether its producer network is its own."""
        return self.connect_mode == "DIRECT_PEERING"

    @property
    def given_range(self) -> str | None:
        """The /29 that was asked for."""
        return self.reserved_ip_range if self.direct else None

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS only (in-transit encryption)."""
        return self.transit_encryption_mode == "SERVER_AUTHENTICATION"

    @property
    def port(self) -> int:
        """The one port that it is reached at (behaviour 4.9.5)."""
        return TLS_PORT if self.encrypted else PORT

    @property
    def maxmemory(self) -> float:
        """GiB that the keys may take."""
        return min(float(self.redis_configs.get(MAXMEMORY, self.memory_size_gb)), self.memory_size_gb)

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the server but its memory, Memorystore's default among them."""
        given = {name: value for name, value in self.redis_configs.items() if name != MAXMEMORY}
        return {POLICY: "volatile-lru", **given}
