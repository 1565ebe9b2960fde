"""Jobs that are done side by side, each after those that it needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter

from testbed.nodes.stop import Stop

WORKERS = (os.cpu_count() or 1) + 1
"""Jobs at a time: one more than processors, as a job also waits for disks and networks."""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work, and the names of the jobs that have to be done before."""

    work: Callable[[], None]
    needs: Collection[str] = ()


def do(jobs: Mapping[str, Job], stop: Stop) -> None:
    """Do all jobs; the first error, or Ctrl-C, stops the others and is raised when none of them runs any more."""
    order = TopologicalSorter({name: job.needs for name, job in jobs.items()})
    order.prepare()
    waiting = _waiting(jobs)
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            while order.is_active():
                # Those that most jobs wait for come first.
                for name in sorted(order.get_ready(), key=lambda name: len(waiting[name]), reverse=True):
                    running[pool.submit(jobs[name].work)] = name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    order.done(running.pop(future))
        except BaseException:
            for future in running:
                future.cancel()
            stop.all()
            raise


def _waiting(jobs: Mapping[str, Job]) -> dict[str, set[str]]:
    """The jobs that wait for each one, directly or not."""
    waiting: dict[str, set[str]] = {name: set() for name in jobs}

    def add(waits: str, name: str) -> None:
        for needed in jobs[name].needs:
            waiting[needed].add(waits)
            add(waits, needed)

    for name in jobs:
        add(name, name)
    return waiting
