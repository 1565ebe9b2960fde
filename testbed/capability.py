"""What a host can and cannot do for a testbed, as values: `testbed doctor` prints them, tests skip by them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Need = Literal["required", "optional"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a host has or lacks."""

    name: str
    need: Need
    """`required` if no testbed works without it."""
    present: bool
    detail: str
    """What was seen: a version, or the words with which it was refused."""
    cost: str
    """What one loses without it."""
    remedy: str
    """How to get it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at the host saw."""

    present: bool
    detail: str


Look = Callable[[], Finding]


@dataclass(frozen=True, slots=True)
class Probe:
    """A capability together with the way to find out whether the host has it."""

    name: str
    need: Need
    look: Look
    cost: str
    remedy: str

    def capability(self) -> Capability:
        """Look at the host now."""
        finding = self.look()
        return Capability(self.name, self.need, finding.present, finding.detail, self.cost, self.remedy)


def missing(capabilities: Iterable[Capability]) -> list[Capability]:
    """The required ones that the host lacks: a testbed cannot work there."""
    return [capability for capability in capabilities if capability.need == "required" and not capability.present]


def on_path(program: str) -> Look:
    """A look for a program in the system's folders (not every user's `$PATH` has sbin) and those of `$PATH`."""

    def look() -> Finding:
        folders = f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"
        found = shutil.which(program, path=folders)
        return Finding(present=found is not None, detail=found or f"not in {folders}")

    return look
