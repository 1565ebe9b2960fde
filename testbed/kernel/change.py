"""What a difference between plan and kernel consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verb = Literal["add", "delete", "replace"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as the plan says, and what is done about it."""

    namespace: str
    verb: Verb
    kind: str
    """What ip(8), ipset(8), iptables(8) and sysctl(8) call it: `veth`, `address`, `nexthop`, `set`, `table`, ..."""
    what: str

    def __str__(self) -> str:
        return f"{self.namespace}: {self.verb} {self.kind} {self.what}"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of `ip -batch` input, and the change that it makes (None: it completes the change of another step)."""

    command: str
    change: Change | None = None
