"""What the oracle is asked, and what it answers, in the words of Connectivity Tests (behaviour 7.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import auto
from typing import Literal, Self

from testbed.model.core.enumeration import Enumeration
from testbed.model.drop_causes import Cause

Protocol = Literal["tcp", "udp", "icmp"]
Direction = Literal["EGRESS", "INGRESS"]


class Step(Enumeration):
    """The state of one step of a trace (behaviour 7.1.4, 7.1.5)."""

    START_FROM_INSTANCE = auto()
    START_FROM_INTERNET = auto()
    START_FROM_PRIVATE_NETWORK = auto()
    START_FROM_CLOUD_RUN_REVISION = auto()
    START_FROM_CLOUD_RUN_JOB = auto()
    START_FROM_CLOUD_FUNCTION = auto()
    START_FROM_APP_ENGINE_VERSION = auto()
    ARRIVE_AT_VPC_CONNECTOR = auto()
    ARRIVE_AT_VPN_TUNNEL = auto()
    ARRIVE_AT_INTERCONNECT_ATTACHMENT = auto()
    DIRECT_VPC_EGRESS_CONNECTION = auto()
    SERVERLESS_EXTERNAL_CONNECTION = auto()
    APPLY_EGRESS_FIREWALL_RULE = auto()
    APPLY_ROUTE = auto()
    NAT = auto()
    APPLY_INGRESS_FIREWALL_RULE = auto()
    ARRIVE_AT_INSTANCE = auto()
    DELIVER = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Flow:
    """The first packet of a connection, and who sends it."""

    source: str
    """The node that sends: of an instance, a container instance of a workload, a host on the internet or in a site."""
    destination: str
    """An address."""
    protocol: Protocol
    port: int | None = None
    """The destination's port; ICMP has none."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What firewall rules see of a packet."""

    source: str
    destination: str
    protocol: Protocol
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """The one firewall rule that decides (behaviour 4.1.5)."""

    network: str
    direction: Direction
    rule: str | None
    """Its name; None is the implied one (behaviour 4.1.7)."""
    allows: bool
    passed: tuple[str, ...] = ()
    """Rules of policies that said `goto_next` before (behaviour 4.1.21)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a flow.  It is made step by step: each method adds one."""

    steps: tuple[Step, ...] = ()
    tunnel: Ruling | None = None
    """What decided on the way from the serverless infrastructure to the connector (behaviour 2.2.2)."""
    answer: Ruling | None = None
    """What decides on the way back, if there is something to bring back (behaviour 2.3.3)."""
    sender: Ruling | None = None
    receiver: Ruling | None = None
    sources: frozenset[str] = frozenset()
    """The source address that the receiver sees: one of these."""
    cause: Cause | None = None
    """Why it was dropped; None if it arrives, and its answer comes back."""
    ambiguous: bool = False
    """Whether it depends on something that the model does not know, as on the connector instance that is chosen."""
    possible: frozenset[Ruling] = frozenset()
    """What may have decided, if it is ambiguous."""

    @property
    def reachable(self) -> bool:
        """Whether the flow gets its answer."""
        return self.cause is None and not self.ambiguous

    def at(self, *steps: Step) -> Self:
        """The flow has come further."""
        return replace(self, steps=(*self.steps, *steps))

    def dropped(self, cause: Cause) -> Self:
        """The flow has come to its end."""
        return replace(self.at(Step.DROP), cause=cause)

    def delivered(self, source: str, *steps: Step) -> Self:
        """The flow has reached its destination, where it is seen to come from `source`."""
        return replace(self.at(*steps, Step.DELIVER), sources=frozenset({source}))


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a flow that takes one of several ways: that of all of them, unless they disagree."""
    first, *others = verdicts
    seen = first.sources.union(*(other.sources for other in others))
    alike = all(replace(other, sources=first.sources) == first for other in others)
    if alike:
        return replace(first, sources=seen)
    rulings = {ruling for one in (first, *others) for ruling in (one.sender, one.receiver, *one.possible) if ruling}
    return replace(first, sources=seen, ambiguous=True, possible=frozenset(rulings))
