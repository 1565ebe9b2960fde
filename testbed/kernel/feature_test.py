"""Finding out whether something works by doing it, in a network namespace that nobody else sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.capability import Finding, Look
from testbed.errors import Unimplemented
from testbed.kernel.command import CommandFailed, run
from testbed.kernel.temporary_namespace import in_new_namespace

CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21
"""Bit numbers of linux/capability.h."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a trial, and what it reads."""

    arguments: tuple[str, ...]
    text: str = ""


def step(line: str, text: str = "") -> Command:
    """The step of a line of plain words; there is no quoting, as no shell is involved."""
    return Command(tuple(line.split()), text)


def first_line(text: str) -> str:
    """The first line that is not blank, or nothing."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def effective_capabilities(status: str) -> int:
    """The effective capability set, as bits, from the text of /proc/PID/status (proc(5))."""
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


def privileged() -> bool:
    """True if this process may make and configure network namespaces."""
    held = effective_capabilities(Path("/proc/thread-self/status").read_text())
    return all(held >> bit & 1 for bit in (CAP_NET_ADMIN, CAP_SYS_ADMIN))


def perform(steps: tuple[Command, ...]) -> Finding:
    """Run the steps one after the other, up to the first that fails; the last one's first line is the detail."""
    output = ""
    for each in steps:
        try:
            output = run(each.arguments, each.text)
        except Unimplemented as absent:
            return Finding(present=False, detail=absent.message)
        except CommandFailed as failure:
            said = first_line(failure.stderr)
            detail = f"{' '.join(each.arguments[:3])}: {said}" if said else first_line(failure.message)
            return Finding(present=False, detail=detail)
    return Finding(present=True, detail=first_line(output) or "works")


def trying(*steps: Command) -> Look:
    """A look that performs the steps in a new network namespace."""

    def look() -> Finding:
        if not privileged():
            return Finding(present=False, detail="not tried: that takes root")
        try:
            return in_new_namespace(lambda: perform(steps))
        except OSError as error:
            return Finding(present=False, detail=str(error))

    return look
