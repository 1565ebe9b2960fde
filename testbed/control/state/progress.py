"""Progress: long work reports it to its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a phase.  `total` is None where the number of steps is not known beforehand.

    `news` is what a log is told: None where a line would be too much.
    """

    phase: str
    text: str
    done: int = 0
    total: int | None = None
    news: str | None = None


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Tell nobody."""
