"""Which instances each connector should have (behaviour 1.9, 2.6.3): pure decisions, which the reconciler makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from testbed.errors import GoogleText, ResourceExhausted, TestbedError
from testbed.fabric.allocation.addressing import next_instance
from testbed.fabric.allocation.running import ConnectorInstance, ConnectorState
from testbed.model.serverless.connector import DEFAULT_MACHINE_TYPE
from testbed.model.topology import Topology

HEALTH_FAILURE = (
    "An internal error occurred: VPC Access connector failed to get healthy. Please check GCE quotas, logs and org"
    " policies and recreate."
)
"""What a create ends with if the instances do not get healthy (code 13, behaviour 1.7.5)."""
UNHEALTHY: Mapping[str, Any] = {"code": 13, "message": GoogleText(HEALTH_FAILURE)}
"""The same as a `google.rpc.Status`."""
RANGE_CONFLICT = (
    "Operation failed: Invalid IP CIDR range was provided. It conflicts with an existing subnetwork. Please delete the"
    " connector manually."
)
"""What a create ends with whose range is not free (code 3, behaviour 1.6.9)."""
PATIENCE = 10.0
"""Seconds in which an instance has to get healthy (Google takes 4 to 6 minutes: behaviour 1.7.4)."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds between replacements for a connector none of whose replacements gets healthy: doubled each time."""


def additions(
    topology: Topology, present: Sequence[ConnectorInstance], serial: Callable[[str], int]
) -> Iterator[ConnectorInstance]:
    """The instances that are missing: each connector has `minInstances` at least, and never fewer than it had (1.9.1).

    Raises:
        ResourceExhausted: if a /28 has no address left.
    """
    for connector in topology.vpcaccess.connectors:
        mine = [instance for instance in present if instance.connector == connector.name]
        while len(mine) < connector.min_instances:
            new = next_instance(connector, topology.connector_range(connector), mine, serial(connector.name))
            mine.append(new)
            yield new


def outdated(body: Mapping[str, Any], present: Iterable[ConnectorInstance]) -> list[ConnectorInstance]:
    """The instances of a connector that are of another machine type than it is to have."""
    wanted = body.get("machineType", DEFAULT_MACHINE_TYPE)
    return [instance for instance in present if instance.machine_type != wanted]


def next_outdated(topology: Topology, present: Iterable[ConnectorInstance]) -> Iterator[ConnectorInstance]:
    """The instances to replace now for another machine type: of each connector one, while all others carry traffic.

    "Changing machine type can cause some long-running connections to drop" (behaviour 1.8.5).
    """
    instances = list(present)
    for connector in topology.vpcaccess.connectors:
        mine = [instance for instance in instances if instance.connector == connector.name]
        if all(instance.health == "healthy" for instance in mine):
            yield from outdated({"machineType": connector.machine_type}, mine)[:1]


def replacements(
    topology: Topology,
    present: Sequence[ConnectorInstance],
    gone: Iterable[ConnectorInstance],
    serial: Callable[[str], int],
) -> Iterator[tuple[ConnectorInstance, ConnectorInstance]]:
    """Each instance that is given up, and a new one at an address that none has (not even those that are given up).

    Where the /28 has not enough addresses for that, the rest has to wait until the first are gone.
    """
    known = {connector.name: connector for connector in topology.vpcaccess.connectors}
    taken = list(present)
    for instance in gone:
        connector = known[instance.connector]
        try:
            new = next_instance(connector, topology.connector_range(connector), taken, serial(connector.name))
        except ResourceExhausted:
            continue
        taken.append(new)
        yield instance, new


class Outcome(Enum):
    """What has become of a connector that was made or changed."""

    WAITING = auto()
    READY = auto()
    FAILED = auto()
    """Its creation ends in ERROR (behaviour 1.7.5)."""


def outcome(
    state: ConnectorState, instances: Collection[ConnectorInstance], *, patient: bool, reports: bool = True
) -> Outcome:
    """What has become of a connector; `patient` as long as its instances have time to get healthy.

    One that is new also has to report to Google (`reports`, behaviour 1.7.6).  One that was READY before is waited for
    only while an instance starts: its replacements can take for ever.
    """
    if state == "CREATING" and not reports:
        return Outcome.WAITING if patient else Outcome.FAILED
    healthy = [instance.health == "healthy" for instance in instances]
    if all(healthy):
        return Outcome.READY
    starting = any(instance.health == "starting" for instance in instances)
    if patient and (state == "CREATING" or starting):
        return Outcome.WAITING
    return Outcome.READY if any(healthy) else Outcome.FAILED


def refusal(error: TestbedError) -> str:
    """What an operation on a connector says of an error."""
    if re.search("overlap|conflicts with|hides the address space", error.message):
        return RANGE_CONFLICT
    return f"Operation failed: {error.message}"


def deleted(topology: Topology, known: Iterable[str]) -> list[str]:
    """The connectors that are known but no longer wanted."""
    wanted = {connector.name for connector in topology.vpcaccess.connectors}
    return [name for name in known if name not in wanted]


@dataclass(slots=True)
class _Attempts:
    pause: float = FIRST_PAUSE
    next: float = 0.0


class Replacer:
    """Decides when an unhealthy instance is given up for a new one.

    The first replacement is made at once.  If it does not get healthy either, the reason is probably not the instance
    (a firewall rule, say), and further ones are made at growing intervals.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, _Attempts] = {}
        self._since: dict[str, float] = {}

    def given_up(self, instances: Iterable[ConnectorInstance], now: float) -> list[ConnectorInstance]:
        """The instances to replace now; `now` is a monotonic time in seconds."""
        groups: dict[str, list[ConnectorInstance]] = {}
        for instance in instances:
            groups.setdefault(instance.connector, []).append(instance)
        self._since = {i.name: self._since.get(i.name, now) for group in groups.values() for i in group}
        self._attempts = {name: self._attempts.get(name, _Attempts()) for name in groups}
        return [
            instance for name, group in groups.items() for instance in self._of_one(group, self._attempts[name], now)
        ]

    def _of_one(self, group: list[ConnectorInstance], attempts: _Attempts, now: float) -> list[ConnectorInstance]:
        """The instances of one connector to replace now."""
        if all(instance.health == "healthy" for instance in group):
            attempts.pause, attempts.next = FIRST_PAUSE, 0.0
        failed = [i for i in group if i.health == "unhealthy" or (i.health == "starting" and self._late(i, now))]
        if not failed or now < attempts.next:
            return []
        attempts.next = now + attempts.pause
        attempts.pause = min(attempts.pause * 2, LONGEST_PAUSE)
        return failed

    def _late(self, instance: ConnectorInstance, now: float) -> bool:
        return now - self._since[instance.name] > PATIENCE
