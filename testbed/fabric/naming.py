"""How things are called on the host and in the kernel."""

from __future__ import annotations

import hashlib

IFNAMSIZ = 15
"""Characters that a Linux interface name may have (`IFNAMSIZ` less the closing zero)."""


def host_name(testbed: str, name: str) -> str:
    """The name on the host of a namespace or container of a testbed: whatever we make carries the testbed's name."""
    return f"tb-{testbed}-{name}"


def interface_name(name: str) -> str:
    """A device name for `name`: the name itself where it fits, else its head and a digest of the whole."""
    if len(name) <= IFNAMSIZ:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:7]
    return f"{name[: IFNAMSIZ - 8]}-{digest}"


def set_name(kind: str, members: frozenset[str], *, counters: bool = False, purpose: str = "") -> str:
    """The name of an ipset (31 characters at most, ipset(8)), derived from its content: equal sets are one set.

    `purpose` tells sets apart that are equal but must not be one, as those that count different things.
    """
    text = "\n".join([f"{kind} {counters} {purpose}", *sorted(members)])
    return f"tb-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
