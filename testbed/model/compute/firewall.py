"""VPC firewall rules, the compute v1 `Firewall` (behaviour 4.1)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from testbed.errors import GoogleText
from testbed.model.compute.instance import Tag
from testbed.model.core.ranges import Range
from testbed.model.core.resource import ComputeResource, Enumerated, NetworkRef, Resource

PROTOCOL_NUMBERS = {"icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "sctp": 132}
"""Protocols that a rule may name (behaviour 4.1.8); `ipip` is 4, IP in IP (recalled)."""

WITH_PORTS = frozenset({"tcp", "udp", "sctp", "6", "17", "132"})
LAST_PORT = 65535
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_NUMBER = re.compile(r"[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]")
"""1 to 255; 0 is no protocol that a rule could be for: iptables takes it for all of them."""


class Match(Resource):
    """A protocol and, for tcp, udp and sctp, ports or port ranges; no ports means all of them."""

    ip_protocol: str = Field(alias="IPProtocol")
    ports: tuple[str, ...] = ()

    @field_validator("ip_protocol")
    @classmethod
    def _known_protocol(cls, value: str) -> str:
        name = value.lower()
        if name != "all" and name not in PROTOCOL_NUMBERS and not _NUMBER.fullmatch(name):
            raise ValueError(
                f"must be one of {', '.join([*PROTOCOL_NUMBERS, 'all'])} or a protocol number 1-255, not {value!r}"
            )
        return name

    @field_validator("ports", mode="before", json_schema_input_type=tuple[str | int, ...])
    @classmethod
    def _ports_are_text(cls, value: Any) -> Any:
        return tuple(str(port) for port in value) if isinstance(value, list | tuple) else value

    @field_validator("ports")
    @classmethod
    def _ports_in_range(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            match = _PORTS.fullmatch(text)
            low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if not low <= high <= LAST_PORT:
                raise ValueError(
                    GoogleText(
                        f"Invalid port range specification. ({text!r} is no port up to {LAST_PORT} nor a range: 80-90)"
                    )
                )
        return value

    @model_validator(mode="after")
    def _ports_only_where_there_are_ports(self) -> Self:
        if self.ports and self.ip_protocol not in WITH_PORTS:
            raise ValueError(f"ports go with tcp, udp and sctp only, not with {self.ip_protocol!r}")  # behaviour 4.1.8
        return self


def read_flag(value: Any, key: str) -> Any:
    """gcloud's `PROTOCOL[:PORT[-PORT]]` as the API's messages, one per protocol, which stands under a key."""
    specs = value.split(",") if isinstance(value, str) else value
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        return value
    found: dict[str, list[str]] = {}
    for spec in specs:
        protocol, _, port = spec.strip().partition(":")
        ports = found.setdefault(protocol, [])
        if port:
            ports.append(port)
    return [{key: protocol, "ports": ports} for protocol, ports in found.items()]


class LogConfig(Resource):
    """Whether connections that match the rule are logged."""

    enable: bool = False
    metadata: Literal["EXCLUDE_ALL_METADATA", "INCLUDE_ALL_METADATA"] = "INCLUDE_ALL_METADATA"
    """Whether the records say more than the connection and the rule; without effect if nothing is logged."""


class Firewall(ComputeResource):
    """One firewall rule of a network."""

    collection: ClassVar[str] = "global/firewalls"
    gcloud: ClassVar = {"allow": "allowed", "deny": "denied"}

    network: NetworkRef
    direction: Annotated[Literal["INGRESS", "EGRESS"], Enumerated({"IN": "INGRESS", "OUT": "EGRESS"})] = "INGRESS"
    priority: int = Field(default=1000, ge=0, le=65535)
    allowed: tuple[Match, ...] = ()
    denied: tuple[Match, ...] = ()
    source_ranges: tuple[Range, ...] = ()
    source_tags: tuple[Tag, ...] = ()
    source_service_accounts: tuple[str, ...] = ()
    destination_ranges: tuple[Range, ...] = ()
    target_tags: tuple[Tag, ...] = ()
    target_service_accounts: tuple[str, ...] = ()
    disabled: bool = False
    log_config: LogConfig = LogConfig()

    @field_validator(
        "allowed", "denied", mode="before", json_schema_input_type=tuple[Match, ...] | tuple[str, ...] | str
    )
    @classmethod
    def _read_flags(cls, value: Any) -> Any:
        return read_flag(value, "IPProtocol")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.allowed) == bool(self.denied):
            raise ValueError("exactly one of allowed and denied must be given")  # behaviour 4.1.8
        if self.direction == "EGRESS" and (self.source_tags or self.source_service_accounts):
            raise ValueError("an EGRESS rule cannot have sourceTags or sourceServiceAccounts")  # behaviour 4.1.3
        if self.source_tags and self.source_service_accounts:
            raise ValueError("sourceTags and sourceServiceAccounts cannot be mixed")  # behaviour 4.1.10
        if self.target_service_accounts and (self.target_tags or self.source_tags):
            raise ValueError("targetServiceAccounts cannot be mixed with targetTags or sourceTags")  # behaviour 4.1.12
        if self.source_service_accounts and self.target_tags:
            raise ValueError("sourceServiceAccounts cannot be mixed with targetTags")  # behaviour 4.1.12
        return self

    def is_for(self, tags: Collection[str], accounts: Collection[str]) -> bool:
        """Whether a NIC with such tags and accounts is a target; without targets all are (behaviour 4.1.12)."""
        if not self.target_tags and not self.target_service_accounts:
            return True
        return not {*self.target_tags}.isdisjoint(tags) or not {*self.target_service_accounts}.isdisjoint(accounts)

    @property
    def allows(self) -> bool:
        """Whether the rule's action is allow."""
        return bool(self.allowed)
