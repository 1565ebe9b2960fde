"""How much a connector instance carries: what its machine type has at Google's, or what a topology asks for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from testbed.json_object import Json
from testbed.model.core.resource import Resource

MachineType = Literal["e2-micro", "f1-micro", "e2-standard-4"]


class Burst(NamedTuple):
    """What a machine carries for a while, when it has rested for long enough."""

    megabits_per_second: int
    seconds: int


class Limits(NamedTuple):
    """The limits of one instance.  None: not limited."""

    megabits_per_second: int | None = None
    """Of inner IP packets, each way."""
    packets_per_second: int | None = None
    """Each way."""
    new_connections_per_second: int | None = None
    connections: int | None = None
    """That are open at a time."""
    burst: Burst | None = None


NOMINAL: Mapping[MachineType, Limits] = MappingProxyType(
    {
        "f1-micro": Limits(50, 10_000, 1_000, 4_915),
        "e2-micro": Limits(100, 20_000, 2_000, 8_192),
        "e2-standard-4": Limits(1_600),
    }
)
"""The capacity of Google's machine types.

Throughput is Google's estimate (behaviour 1.4.1).  The other numbers are estimates of this project, as Google only says
that small machines run out of processor and of connection tracking memory below their bandwidth (behaviour 1.4.4):

- Packets: at a mean size of 625 bytes the packets of both types reach the throughput.  Packets of full size need 4,300
  and 8,600 a second for it.
- New connections: a tenth of the packets, as a short TCP connection with one request takes about ten.
- Open connections: what Linux tracks by default on a machine of 614 MiB and of 1 GiB, a 131,072nd of the memory in
  bytes (`nf_conntrack_buckets` of Documentation/networking/nf_conntrack-sysctl.rst, with buckets of 8 bytes).
"""
BURSTS: Mapping[MachineType, Burst] = MappingProxyType({"e2-micro": Burst(255, 30)})
"""What machines carry before their credit of processor time is used up.

Two connector instances of e2-micro carried 510 Mbit/s when others measured it.  For how long is this project's
estimate.  No measurement of the other types is known, so they have none.
"""
PROFILES = ("nominal", "burst", "off")
_RULE = f"a capacity is {', '.join(PROFILES)}, or a mapping of at least one limit"


class Capacity(Resource):
    """The capacity of connector instances: `nominal`, `burst`, `off`, or limits of one's own."""

    profile: Literal["nominal", "burst", "off"] | None = None
    """`nominal` is what the machine type has, `burst` that with credit, `off` no limit."""
    megabits_per_second: int | None = Field(default=None, ge=1, le=30_000)
    packets_per_second: int | None = Field(default=None, ge=10, le=1_000_000)
    new_connections_per_second: int | None = Field(default=None, ge=1, le=1_000_000)
    connections: int | None = Field(default=None, ge=1, le=1_000_000)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """A word is a profile; YAML reads `off` as false."""
        word = "off" if data is False else data
        if isinstance(word, str) and word in PROFILES:
            return {"profile": word}
        if isinstance(word, dict | cls):
            return word
        raise ValueError(_RULE)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.profile is None) == (self._own == Limits()):
            raise ValueError(_RULE)
        return self

    @model_serializer(mode="wrap")
    def _told(self, handler: SerializerFunctionWrapHandler) -> Any:
        """As it is written in a file."""
        told: Json = handler(self)
        return self.profile or {key: value for key, value in told.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A word or a mapping."""
        mapping = super().__get_pydantic_json_schema__(schema, handler)
        handler.resolve_ref_schema(mapping)["properties"].pop("profile")
        return {"anyOf": [{"enum": [*PROFILES, False]}, mapping]}

    @property
    def _own(self) -> Limits:
        return Limits(
            self.megabits_per_second, self.packets_per_second, self.new_connections_per_second, self.connections
        )

    def limits(self, machine_type: MachineType) -> Limits:
        """The limits of an instance of a machine type."""
        match self.profile:
            case "off":
                return Limits()
            case "nominal":
                return NOMINAL[machine_type]
            case "burst":
                return NOMINAL[machine_type]._replace(burst=BURSTS.get(machine_type))
            case _:
                return self._own

    def __str__(self) -> str:
        """As `testbed configure --capacity` takes it."""
        if self.profile is not None:
            return self.profile
        return ",".join(f"{key}={value}" for key, value in self.model_dump(by_alias=True).items())


DEFAULT_CAPACITY = Capacity.model_validate("nominal")
