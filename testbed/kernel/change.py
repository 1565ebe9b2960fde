"""What a difference between plan and kernel consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verb = Literal["add", "delete", "replace"]


@dataclass(frozen=True, slots=True)
class KernelChange:
    """One thing that is not as the plan says, and what is done about it."""

    namespace: str
    verb: Verb
    kind: str
    """What ip(8), ipset(8), iptables(8) and sysctl(8) call it: `veth`, `address`, `nexthop`, `set`, `table`, ..."""
    what: str

    def __str__(self) -> str:
        return f"{self.namespace}: {self.verb} {self.kind} {self.what}"


@dataclass(frozen=True, slots=True)
class NetlinkRequest:
    """A request to the kernel, in pyroute2's words, but with the names of devices for their numbers."""

    subject: Literal["link", "addr", "qdisc", "tclass", "neigh", "nexthop", "route", "rule"]
    command: Literal["add", "set", "replace", "delete"]
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KernelStep:
    """A request and what it changes."""

    request: NetlinkRequest
    change: KernelChange
    reported: bool = True
    """False if it only completes the change of another step."""
