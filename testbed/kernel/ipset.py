"""ipsets of the calling thread's namespace.  Only sets whose names begin with `tb-` are ours."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import dataclass

from testbed.fabric.plan import IpSet
from testbed.kernel.command import CommandFailed, run

_PREFIX = "tb-"
_DEFAULT_MAXELEM = 65536
_RELEASE = 5.0
"""Seconds that the kernel may take to drop the references of rules that have just been replaced."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Packets and bytes that were counted."""

    packets: int
    bytes: int


def parse(text: str) -> frozenset[IpSet]:
    """Reads our sets in the output of `ipset save`."""
    types: dict[str, tuple[str, bool]] = {}
    members: dict[str, set[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or not words[1].startswith(_PREFIX):
            continue
        if words[0] == "create":
            types[words[1]] = words[2], "counters" in words
            members[words[1]] = set()
        else:
            members[words[1]].add(words[2])
    return frozenset(
        IpSet(name, kind, frozenset(members[name]), counters)  # type: ignore[arg-type]
        for name, (kind, counters) in types.items()
    )


def hits(text: str, name: str) -> dict[str, Hits]:
    """The counters of each member of one set in the output of `ipset save`."""
    found = re.finditer(rf"^add {re.escape(name)} (\S+) packets (\d+) bytes (\d+)$", text, re.MULTILINE)
    return {match[1]: Hits(int(match[2]), int(match[3])) for match in found}


def save() -> str:
    """All sets of the namespace, as `ipset restore` takes them."""
    return run(["ipset", "save"])


def script(wanted: IpSet, actual: IpSet | None) -> list[str]:
    """The lines for `ipset restore` that make one set as wanted; `actual` is the set of this name that is there."""
    lines = []
    if actual is None:
        lines.append(_create(wanted))
        actual = IpSet(wanted.name, wanted.type, frozenset(), wanted.counters)
    lines += [f"del {wanted.name} {member}" for member in sorted(actual.members - wanted.members)]
    lines += [f"add {wanted.name} {member}" for member in sorted(wanted.members - actual.members)]
    return lines


def _create(wanted: IpSet) -> str:
    if wanted.type == "bitmap:port":
        options = "range 0-65535"
    else:
        options = f"family inet maxelem {max(_DEFAULT_MAXELEM, len(wanted.members))}"
    return f"create {wanted.name} {wanted.type} {options}{' counters' if wanted.counters else ''}"


def restore(lines: list[str]) -> None:
    """Raises CommandFailed with the line that ipset refused."""
    try:
        run(["ipset", "restore"], "\n".join(lines) + "\n")
    except CommandFailed as failure:
        number = re.search(r"in line (\d+): *(.*)", failure.stderr)
        if not number:
            raise
        raise CommandFailed(f"ipset refused `{lines[int(number[1]) - 1]}`: {number[2]}", failure.stderr) from failure


def destroy(names: Collection[str]) -> None:
    """Destroys sets that no rule refers to.

    Raises CommandFailed if one is still in use after some seconds: nf_tables frees the rules of a table that was
    replaced a moment later.
    """
    deadline = time.monotonic() + _RELEASE
    for name in sorted(names):
        while True:
            try:
                run(["ipset", "destroy", name])
                break
            except CommandFailed as failure:
                if "in use" not in failure.stderr or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
