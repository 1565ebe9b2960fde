"""What is told of the making of images, which are made side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from testbed.nodes.jobs import Job

Tell = Callable[[str], None]
"""Called with how far one job is, in a few words."""


@dataclass(frozen=True, slots=True)
class Making:
    """How far the making of images is."""

    text: str
    """What is being done now."""
    done: int = 0
    total: int | None = None
    """Jobs; None where their number is not known yet."""
    news: str | None = None
    """What a log is told; None where the step is too small for a line."""


class Board:
    """Where jobs say how far they are."""

    def __init__(self, report: Callable[[Making], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._total = 0
        self._done = 0
        self._running: dict[str, str] = {}

    def job(self, name: str, work: Callable[[Tell], None], needs: Collection[str] = ()) -> Job:
        """A job that is shown while it runs."""

        def tell(step: str) -> None:
            with self._lock:
                self._running[name] = step
                self._show()

        def shown() -> None:
            tell("")
            work(tell)
            with self._lock:
                del self._running[name]
                self._done += 1
                self._show(f"{name}: done ({self._done} of {self._total})")

        self._total += 1
        return Job(shown, needs)

    def _show(self, news: str | None = None) -> None:
        running = ", ".join(f"{name} {step}".strip() for name, step in self._running.items())
        self._report(Making(running, self._done, self._total, news))
