"""Firewall rules that are logged: what they decide on goes to the kernel's log as well (behaviour 4.1.15).

A logged rule hands its packets over to a chain of its own, which notes the first packet of each connection and then
does what the rule says.  The kernel hands notes to a listener if there is one, and never waits; other rules' packets
pay nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from testbed.fabric.firewall.rules import Rule
from testbed.fabric.plan import Chain

GROUP = 1
"""The number of the NFLOG group; each network has its own, as it is a namespace of its own."""
_SNAP = 64
"""Bytes of each packet that are handed over: the headers of IP and, whatever its options are for, the ports."""
HANDED_ON = Chain("handed-on", None, ("-j MARK --set-xmark 0x1/0x1",))
"""Where an egress rule that says `goto_next` leads to.  The mark tells that from what may leave, which returns, too."""


def target(rule: Rule) -> str:
    """What an iptables rule of this firewall rule ends in."""
    return f"-g {_chain(rule)}" if rule.logged else _verdict(rule)


def chains(rules: Iterable[Rule]) -> Iterator[Chain]:
    """The chains of the rules that are logged.  The prefix of a note says which rule it is (`Rule.note`).

    Only TCP and UDP are logged.  A further packet of a connection that is not answered yet is none of its own; one that
    is denied leaves nothing behind in the kernel, so a reader of the notes has to know the earlier ones.
    """
    for rule in sorted(rules, key=lambda rule: rule.label):
        if rule.logged:
            note = (
                f"-m conntrack ! --ctstatus CONFIRMED -j NFLOG --nflog-prefix {rule.note} --nflog-group {GROUP}"
                f" --nflog-size {_SNAP}"
            )
            yield Chain(_chain(rule), None, (f"-p tcp {note}", f"-p udp {note}", _verdict(rule)))


def _verdict(rule: Rule) -> str:
    """A packet that may leave returns to the caller, which goes on with the receiver's rules."""
    match rule.action:
        case "deny":
            return "-j DROP"
        case "allow":
            return "-j ACCEPT" if rule.inbound else "-j RETURN"
        case "goto_next":
            return "-j RETURN" if rule.inbound else f"-g {HANDED_ON.name}"


def _chain(rule: Rule) -> str:
    return f"logged/{hashlib.sha256(rule.key.encode()).hexdigest()[:16]}"
