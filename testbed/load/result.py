"""What a load test measured.  All times are milliseconds unless a name says seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import fmean

from testbed.control.facts.traffic import InstanceTraffic
from testbed.json_object import Json
from testbed.load.request import LoadRequest

SATURATED = 90.0
"""Percent of one core from which on the generator, not the network, may be what limits a load."""


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """One second of a running load.  `requests` and `failures` count from the beginning, all else is that second's."""

    seconds: float
    users: int
    requests: int
    failures: int
    rps: float
    failures_per_second: float
    p50: float
    p95: float
    cpu: float
    """Percent of one core that the generator used."""
    machine: float
    """Percent of all cores that the whole machine used."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one request name."""

    name: str
    requests: int
    failures: int
    median: float
    p90: float
    p95: float
    p99: float
    max: float
    rps: float


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which requests of one name failed."""

    name: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class Source:
    """Requests of one name that the far end saw come from one address."""

    name: str
    address: str
    requests: int


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What the generator measured."""

    seconds: float
    rows: tuple[Row, ...]
    total: Row
    failures: tuple[Failure, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The outcome of a load test and what the network saw of it."""

    request: LoadRequest
    began: str
    """RFC 3339, UTC."""
    outcome: LoadOutcome
    history: tuple[LoadProgress, ...]
    instances: tuple[InstanceTraffic, ...]
    exit_status: int
    """Locust's."""
    interrupted: bool

    @property
    def failed(self) -> bool:
        """Whether a request failed, or none was made, or Locust says so."""
        return bool(self.outcome.failures or self.outcome.total.failures or self.exit_status)

    @property
    def generator_cpu(self) -> float:
        """Percent of one core that the generator used on average."""
        return fmean(one.cpu for one in self.history) if self.history else 0.0

    @property
    def machine_cpu(self) -> float:
        """Percent of all cores that the whole machine used on average."""
        return fmean(one.machine for one in self.history) if self.history else 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures doubtful."""
        found = []
        if self.generator_cpu > SATURATED:
            found.append(f"the load generator used {self.generator_cpu:.0f}% of a core: it may be what limits the load")
        if self.machine_cpu > SATURATED:
            found.append(f"the machine was {self.machine_cpu:.0f}% busy: latencies include waiting for a processor")
        if self.interrupted:
            found.append("the load was interrupted")
        return tuple(found)


def summary(result: LoadResult) -> Json:
    """The result as JSON values, with what follows from it."""
    return asdict(result) | {
        "failed": result.failed,
        "generator_cpu": round(result.generator_cpu, 1),
        "machine_cpu": round(result.machine_cpu, 1),
        "warnings": result.warnings,
    }


def traffic_between(before: Iterable[InstanceTraffic], after: Iterable[InstanceTraffic]) -> tuple[InstanceTraffic, ...]:
    """What each instance forwarded between two readings.

    An instance that is new, or whose counters fell (a replacement under the same name), counts from zero.
    """
    earlier = {(one.instance, one.address): one for one in before}
    return tuple(
        InstanceTraffic(one.instance, one.address, one.flows - was.flows, one.bytes - was.bytes)
        if (was := earlier.get((one.instance, one.address)))
        and was.flows <= one.flows
        and was.bytes is not None
        and one.bytes is not None
        and was.bytes <= one.bytes
        else one
        for one in after
    )
