"""Firewall rules that are logged: what they decide on goes to the kernel's log as well (behaviour 4.1.15).

A logged rule hands its packets over to a chain of its own, which notes the first packet of each connection and then
does what the rule says.  The kernel hands notes to whoever listens, or to nobody, and never waits; other rules' packets
pay nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from testbed.fabric.plan import Chain
from testbed.model.firewall import Firewall

GROUP = 1
"""The number of the NFLOG group; each network has its own, as it is a namespace of its own."""
_SNAP = 64
"""Bytes of each packet that are handed over: the headers of IP and, whatever its options are for, the ports."""


def target(rule: Firewall) -> str:
    """What an iptables rule of this firewall rule ends in."""
    return f"-g {_chain(rule)}" if rule.log_config.enable else f"-j {_verdict(rule)}"


def chains(rules: Iterable[Firewall]) -> Iterator[Chain]:
    """The chains of the rules that are logged.  The prefix of a note is the rule's name.

    Only TCP and UDP are logged.  A further packet of a connection that is not answered yet is none of its own; one that
    is denied leaves nothing behind in the kernel, so whoever reads the notes has to know what came before.
    """
    for rule in sorted(rules, key=lambda rule: rule.name):
        if rule.log_config.enable and not rule.disabled:
            note = (
                f"-m conntrack ! --ctstatus CONFIRMED -j NFLOG --nflog-prefix {rule.name} --nflog-group {GROUP}"
                f" --nflog-size {_SNAP}"
            )
            yield Chain(_chain(rule), None, (f"-p tcp {note}", f"-p udp {note}", f"-j {_verdict(rule)}"))


def _verdict(rule: Firewall) -> str:
    """A packet that may leave returns to the caller, which goes on with the receiver's rules."""
    if not rule.allows:
        return "DROP"
    return "ACCEPT" if rule.direction == "INGRESS" else "RETURN"


def _chain(rule: Firewall) -> str:
    return f"logged/{hashlib.sha256(rule.full_name.encode()).hexdigest()[:16]}"
