"""Work on single nodes that takes its time, each in a thread: nobody waits for another node's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto

from testbed.fabric.plan import Node
from testbed.nodes.container import RunningNode


class Stage(Enum):
    """What is done with a node."""

    CHECK = auto()
    """See whether the container that is there is made from what the plan says."""
    START = auto()
    STOP = auto()
    DELIVER = auto()
    """Bring files into it that have changed."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is under way."""

    stage: Stage
    node: Node | None
    """As it was planned when the work began; None of one that is to be removed."""
    result: Future[RunningNode | None]
    """What runs afterwards."""


class NodeJobs:
    """At most one job for a node, and so many at a time; `wake` is called when one is over."""

    def __init__(self, workers: int, wake: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(workers, "nodes")
        self._wake = wake
        self._jobs: dict[str, Job] = {}

    def begin(self, name: str, stage: Stage, node: Node | None, work: Callable[[], RunningNode | None]) -> None:
        """Begin a job for a node that has none."""
        result = self._pool.submit(work)
        self._jobs[name] = Job(stage, node, result)
        result.add_done_callback(lambda _: self._wake())

    def of(self, name: str) -> Job | None:
        """The job of a node."""
        return self._jobs.get(name)

    def all(self) -> Mapping[str, Job]:
        """The jobs by node."""
        return self._jobs

    def over(self) -> Iterator[tuple[str, Job]]:
        """The jobs that have come to their end; each is told once."""
        for name, job in list(self._jobs.items()):
            if job.result.done():
                del self._jobs[name]
                yield name, job

    def close(self) -> None:
        """Begin no more, and wait for those that are under way."""
        self._pool.shutdown(cancel_futures=True)
