"""What the connection tracking of a namespace says of itself (/proc/net/stat/nf_conntrack, counted for each CPU)."""

from __future__ import annotations

from pathlib import Path

from testbed.kernel.namespace import inside

_FILE = Path("/proc/thread-self/net/stat/nf_conntrack")
"""`/proc/net` would be that of the program's main thread."""


def parse(text: str, name: str) -> int:
    """The sum of one counter over all CPUs; the file has a line of names and one of hexadecimal numbers per CPU."""
    head, *lines = text.splitlines()
    column = head.split().index(name)
    return sum(int(line.split()[column], 16) for line in lines)


def not_inserted(path: str) -> int:
    """How many packets of new connections were dropped since the namespace was made, because no tuple was free.

    In a namespace that translates into ranges of ports these are the connections that found no port.
    """
    return parse(inside(path, _FILE.read_text), "insert_failed")
