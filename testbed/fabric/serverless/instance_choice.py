"""Compiles the choice of a connector instance: it is made at the first packet of a flow, and holds as long as the flow.

A connection mark (CONNMARK in iptables-extensions(8)) notes the choice, and is copied to each further packet of the
sender.  A policy rule leads the mark to the instance's routing table.  So no new instance, no silence and no other hash
of the sender's socket moves a flow: Linux changes that hash whenever a retransmission times out.  What an instance
carried that is not healthy any more is chosen for anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from testbed.fabric.plan import Chain, Mark, Table

MASK = 0xF
"""The bits of a mark that name an instance."""
_FIRST_NUMBER = 0x100
"""What HMARK writes begins here, above all marks of instances."""


def mark(instance: str) -> Mark:
    """The mark of an instance: the last bits of its address, which tell those of a connector's /28 apart."""
    return Mark(int(IPv4Address(instance)) & MASK, MASK)


def _chain(identifier: int) -> str:
    return f"connector-{identifier:x}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What flows that go through one connector are spread over."""

    identifier: int
    """The connector's."""
    senders: str
    """The ipset of the addresses of its runtimes."""
    exempt: str
    """The ipset of what they reach without a connector, whatever their egress setting is."""
    instances: Sequence[str]
    """The addresses of its healthy instances, at least one."""


def table(choices: Iterable[Choice]) -> Table:
    """The table that marks what runtimes send."""
    of = {_chain(choice.identifier): choice for choice in choices}
    prerouting = (
        *(
            f"-m set --match-set {choice.senders} src -m conntrack --ctdir ORIGINAL"
            f" -m set ! --match-set {choice.exempt} dst -g {chain}"
            for chain, choice in of.items()
        ),
        "-m conntrack --ctstate INVALID -j DROP",  # no connection, so no mark: it would take another way
    )
    chains = (Chain(chain, None, (*_rules(choice),)) for chain, choice in of.items())
    return Table("mangle", (Chain("PREROUTING", "ACCEPT", prerouting), *chains))


def _rules(choice: Choice) -> Iterator[str]:
    """The 5-tuple of a new flow selects one of the healthy instances."""
    marks = [mark(instance) for instance in choice.instances]
    yield f"-j CONNMARK --restore-mark --nfmask {MASK:#x} --ctmask {MASK:#x}"
    yield from (f"-m mark --mark {one.value:#x}/{one.mask:#x} -j RETURN" for one in marks)
    yield (
        "-j HMARK --hmark-src-prefix 32 --hmark-dst-prefix 32 --hmark-sport-mask 0xffff --hmark-dport-mask 0xffff"
        f" --hmark-rnd {choice.identifier:#010x} --hmark-mod {len(marks)} --hmark-offset {_FIRST_NUMBER}"
    )
    for number, one in enumerate(marks, _FIRST_NUMBER):
        yield f"-m mark --mark {number:#x} -j MARK --set-xmark {one.value:#x}/0xffffffff"
    yield f"-j CONNMARK --save-mark --nfmask {MASK:#x} --ctmask {MASK:#x}"
