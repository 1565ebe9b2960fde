"""Compiles what forwarding instances need (`canIpForward`): the rules of their NICs, for packets of other addresses.

Everywhere else an address identifies a NIC.  A packet that such an instance forwards carries another's, so its egress
rules are tried by the device that it came by, and its ingress rules by the one that it goes to.  Each such NIC has the
rules that are for it in parts of the chains of its own; instances that the same rules are for share them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from testbed.fabric.dropping import drop
from testbed.fabric.firewall.chains import EGRESS, INGRESS, Nic, chains
from testbed.fabric.firewall.rules import Stage
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import Chain
from testbed.fabric.wiring import Space
from testbed.model.core.well_known import INTERNET
from testbed.model.drop_causes import FOREIGN_IP, NO_EXTERNAL_ADDRESS

SENDERS, RECEIVERS = "senders", "receivers"
_TARGET = re.compile(rf"(?<=-[jg] )({EGRESS}|{INGRESS})(?=[/ ]|$)")


@dataclass(frozen=True, slots=True)
class IpForwarding:
    """The filter rules for a network's NICs, of which some forward, or are asked to."""

    space: Space
    nics: Sequence[Nic]
    forwarders: Sequence[tuple[str, Nic]]
    """Devices of the NICs that may forward, and these."""
    stages: Sequence[Stage]

    @property
    def needed(self) -> bool:
        """Whether anything must be done: without forwarders and next hops addresses say it all."""
        return bool(self.forwarders or self.space.next_hops)

    def chains(self) -> tuple[Chain, ...]:
        """The chains that say by which rules a packet is judged, and those rules."""
        shared: dict[tuple[str, ...], str] = {}  # the labels say all: two stages have none in common
        made: list[Chain] = []
        senders: list[str] = []
        receivers = [
            f"! -d {hop.address}/32 -o {hop.device} {drop(FOREIGN_IP)}"
            for hop in sorted(self.space.next_hops, key=repr)
        ]
        for device, nic in sorted(self.forwarders, key=repr):
            mine = [tuple(rule.for_all() for rule in stage if nic.is_target(rule)) for stage in self.stages]
            key = tuple(rule.label for stage in mine for rule in stage)
            if key not in shared:
                shared[key] = f"/via{len(shared)}"
                made += _parts(mine, self.nics, self.space, shared[key])
            senders.append(f"! -s {nic.address}/32 -i {device} -g {EGRESS}{shared[key]}")
            receivers.append(f"! -d {nic.address}/32 -o {device} -g {INGRESS}{shared[key]}")
        nics = self.space.set_of("hash:ip", (nic.address for nic in self.nics))
        return (
            Chain(SENDERS, None, (*senders, f"-m set --match-set {nics} src -g {EGRESS}")),
            Chain(RECEIVERS, None, (*receivers, f"-m set --match-set {nics} dst -g {INGRESS}")),
            *made,
        )

    def passing(self) -> Iterator[str]:
        """What a forwarder sends for others goes everywhere but to the internet, where it has no external address."""
        for device, nic in sorted(self.forwarders, key=repr):
            foreign = f"! -s {nic.address}/32 -i {device}"
            yield f"{foreign} -o {interface_name(INTERNET)} {drop(NO_EXTERNAL_ADDRESS)}"
            yield f"{foreign} -j ACCEPT"


def _parts(stages: Sequence[Stage], nics: Sequence[Nic], space: Space, part: str) -> Iterator[Chain]:
    """The chains of some rules as parts of the usual ones, for whatever address the packets carry."""
    for chain in chains(stages, nics, space):
        lines = tuple(_TARGET.sub(rf"\1{part}", line) for line in chain.rules)
        head, slash, rest = chain.name.partition("/")
        yield Chain(f"{head}{part}{slash}{rest}", chain.policy, lines)
