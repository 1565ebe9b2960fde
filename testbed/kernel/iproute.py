"""The one way to the kernel's links, addresses, neighbours, nexthops, routes and rules: `ip -batch` (iproute2).

One process reads all of them as JSON, and one process applies any number of commands.  A library that speaks netlink
from Python was measured at four times the cost for the reading alone (12 ms against 3 ms per namespace), and has no
nexthop objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.errors import Internal
from testbed.kernel.change import Step
from testbed.kernel.command import CommandFailed, run

PROTOCOL = 116
"""The routing protocol number of what we install: /etc/iproute2/rt_protos and rtnetlink.h leave it to nobody else."""
_KERNEL = 2  # RTPROT_KERNEL: what the kernel adds by itself

Entry = Mapping[str, Any]
"""One object of iproute2's JSON."""

_SHOW = (
    "address show",
    "neighbour show nud permanent",
    "nexthop show",
    "route show table all root 0.0.0.0/0",  # the prefix limits it to IPv4
    "rule show",
)


@dataclass(frozen=True, slots=True)
class Dump:
    """What `ip` shows of one namespace."""

    addresses: list[Entry]
    neighbours: list[Entry]
    nexthops: list[Entry]
    routes: list[Entry]
    rules: list[Entry]


def show() -> Dump:
    """Reads the namespace of the calling thread."""
    return parse(run(["ip", "-json", "-details", "-Numeric", "-batch", "-"], "\n".join(_SHOW)))


def parse(text: str) -> Dump:
    """Reads the output of the `_SHOW` commands: one JSON array each."""
    decoder = json.JSONDecoder(object_pairs_hook=_entry)
    arrays: list[list[Entry]] = []
    position = 0
    while position < len(text):
        array, position = decoder.raw_decode(text, position)
        arrays.append(array)
        while position < len(text) and text[position].isspace():
            position += 1
    if len(arrays) != len(_SHOW):
        raise Internal(f"`ip -json` printed {len(arrays)} arrays for {len(_SHOW)} commands")
    return Dump(*arrays)


def _entry(pairs: list[tuple[str, Any]]) -> Entry:
    """An object whose second `id` or `dst` is called `encap_id`, `encap_dst`.

    iproute2 calls these keys of a nexthop or route and those of its tunnel alike.
    """
    entry: dict[str, Any] = {}
    for key, value in pairs:
        entry[f"encap_{key}" if key in entry else key] = value
    return entry


def managed(entry: Entry, *, node: bool) -> bool:
    """Whether this nexthop, route or rule is ours to change.

    In a namespace of ours everything is, but for the kernel's own; in a node's namespace programs of the node (a VPN or
    routing daemon) have theirs, so there it is what carries our protocol number.
    """
    protocol = int(entry["protocol"])
    return protocol == PROTOCOL if node else protocol != _KERNEL


def batch(steps: Sequence[Step]) -> None:
    """Applies the steps in the namespace of the calling thread.

    A deletion that the kernel refuses is no error: with a device or nexthop the kernel removes what depends on it, so
    that it may be gone already.  (`apply` reads everything back, and would see it if it were not.)

    Raises:
        CommandFailed: it names the first command that was refused, and the kernel's reason.
    """
    lines = [step.command for step in steps]
    if torn := [line for line in lines if "\n" in line]:
        raise Internal(f"a command of `ip` holds a line break: {torn[0]!r}")
    try:
        run(["ip", "-force", "-batch", "-"], "\n".join(lines) + "\n")
    except CommandFailed as failure:
        refused, rest = _refusals(failure.stderr)
        for number, reason in refused.items():
            change = steps[number - 1].change
            if change is None or change.verb != "delete":
                raise CommandFailed(f"`ip {lines[number - 1]}` failed: {reason}", failure.stderr) from failure
        if rest:  # not understood by ip(8) itself, which then stops without a line number
            raise CommandFailed(f"`ip -batch` failed: {rest}", failure.stderr) from failure


def _refusals(stderr: str) -> tuple[dict[int, str], str]:
    """The reason for each line (counted from 1) that failed, and what was said about none."""
    refused: dict[int, str] = {}
    reasons: list[str] = []
    for line in stderr.splitlines():
        if found := re.match(r"Command failed -:(\d+)", line):
            refused[int(found[1])] = " ".join(reasons)
            reasons = []
        else:
            reasons.append(line.strip())
    return refused, " ".join(reasons)
