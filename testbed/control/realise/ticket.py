"""What a change waits for, and what was done for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from testbed.control.realise.executions import TaskRunner
from testbed.control.realise.guest_scripts import Guest
from testbed.kernel.change import KernelChange
from testbed.model.topology import Topology
from testbed.nodes.packages.installer import Packages


@dataclass(slots=True)
class Ticket:
    """A change that is being made true.  It is over when nothing is lacking, or when something cannot be made."""

    lacking: set[str] = field(default_factory=set)
    """The nodes that are not as planned yet."""
    leaving: set[str] = field(default_factory=set)
    """The nodes that are being removed."""
    error: Exception | None = None
    """Why it cannot be made, if it cannot."""
    at_fault: frozenset[str] = frozenset()
    """The nodes that the error is about; none if it is about no single one."""
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    changes: list[KernelChange] = field(default_factory=list)
    configured: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Connectors that did not get healthy and workloads that do not listen, with Google's error text."""

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.error is not None or not (self.lacking or self.leaving)

    @property
    def changed(self) -> bool:
        """Whether anything was changed at all."""
        return bool(self.started or self.stopped or self.changes or self.configured)


class RunningNodes(TaskRunner, Guest, Protocol):
    """Where the commands of tasks and the scripts of VMs are run."""


class Realiser(Protocol):
    """Makes true what the resources in effect ask for."""

    @property
    def nodes(self) -> RunningNodes:
        """The nodes that run."""

    @property
    def packages(self) -> Packages:
        """What has the packages of deployed sources."""

    def advance(self, topology: Topology, again: Collection[str] = ()) -> Ticket:
        """Begin to; nodes named `again` are made anew, even if they are as planned.

        Raises:
            TestbedError: it cannot be.
        """

    def without(self, ticket: Ticket, nodes: Collection[str]) -> Ticket:
        """A ticket for what another one waits for, without some nodes."""
