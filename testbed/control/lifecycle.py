"""The lives of resources, a row for each kind: when a change is done, how long Google takes, what a failure leaves.

The durations of connectors are from behaviour 1.7.4; all others are recalled, and rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Settles(Enum):
    """When a change of a resource is done."""

    KERNEL = auto()
    """When the kernel is as planned: no node knows of it."""
    NODES = auto()
    """When the nodes that it concerns are as planned."""
    HEALTHY = auto()
    """When the instances of the connector are healthy, too."""
    LISTENING = auto()
    """When the containers listen, too."""
    EXECUTED = auto()
    """When the tasks of the execution are over."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The life of the resources of a kind."""

    settles: Settles = Settles.NODES
    left_in_error: bool = False
    """Whether a failed creation leaves the resource behind, with its error (behaviour 1.7.7)."""
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds that Google takes, by the last part of the method's id."""
    failure: float | None = None
    """Seconds that Google takes until a creation has failed, where that is longer."""


OTHER = 10.0
"""Seconds that Google takes for what is not listed (recalled: most of Compute Engine's operations)."""

CONNECTOR = "vpcaccess.connectors"

LIFECYCLES: Mapping[str, Lifecycle] = {
    CONNECTOR: Lifecycle(
        Settles.HEALTHY,
        left_in_error=True,
        durations={"create": 120, "patch": 120, "delete": 120},  # "about 1-3 minutes"
        failure=300,  # "about 4-6 minutes"
    ),
    "compute.networks": Lifecycle(durations={"insert": 20, "delete": 20, "addPeering": 20}),
    "compute.subnetworks": Lifecycle(durations={"insert": 15, "delete": 15}),
    "compute.firewalls": Lifecycle(Settles.KERNEL, durations={"insert": 8, "patch": 8, "delete": 8}),
    "compute.networkFirewallPolicies": Lifecycle(Settles.KERNEL),
    "compute.regionNetworkFirewallPolicies": Lifecycle(Settles.KERNEL),
    "compute.routes": Lifecycle(Settles.KERNEL, durations={"insert": 12, "delete": 12}),
    "compute.projects": Lifecycle(Settles.KERNEL),
    "compute.instances": Lifecycle(durations={"insert": 20, "delete": 40, "stop": 40}),
    "compute.routers": Lifecycle(durations={"patch": 20}),
    "compute.vpnTunnels": Lifecycle(durations={"insert": 20}),
    "compute.addresses": Lifecycle(durations={"insert": 4}),
    "run.services": Lifecycle(Settles.LISTENING, left_in_error=True, durations={"create": 15, "patch": 15}),
    "run.revisions": Lifecycle(left_in_error=True),
    "run.executions": Lifecycle(Settles.EXECUTED),
    "cloudfunctions.functions": Lifecycle(Settles.LISTENING, left_in_error=True, durations={"create": 90, "patch": 90}),
    "appengine.services": Lifecycle(Settles.LISTENING),
    "appengine.versions": Lifecycle(Settles.LISTENING, durations={"create": 60}),
    "redis.instances": Lifecycle(durations={"create": 240, "patch": 120, "delete": 120}),
    "servicenetworking.connections": Lifecycle(durations={"create": 30}),
    "serviceusage.services": Lifecycle(durations={"enable": 15}),
}
"""By kind.  One that is not listed has nothing special."""


def lifecycle(kind: str) -> Lifecycle:
    """The life of the resources of a kind."""
    return LIFECYCLES.get(kind, Lifecycle())


def duration(method: str) -> float:
    """Seconds that Google typically takes for an operation, by the method's id (`compute.networks.insert`)."""
    *way, verb = method.split(".")
    kind = f"{way[0]}.{way[-1]}" if way else ""
    return lifecycle(kind).durations.get(verb, OTHER)
