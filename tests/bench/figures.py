"""Figures: what was measured, what its target is, and how they are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from testbed.json_object import Json


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value."""

    what: str
    value: float
    unit: str = ""
    """`s`, `Gbit/s`, ...; none for a ratio."""
    at_most: float | None = None
    """The target, where a smaller value is better."""
    at_least: float | None = None
    """The target, where a larger value is better."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return "" if self.at_least is None else f"at least {self.at_least:g}"

    def as_json(self) -> Json:
        """The figure as data."""
        target = {"atMost": self.at_most, "atLeast": self.at_least, "met": self.met, "note": self.note or None}
        known = {key: value for key, value in target.items() if value is not None}
        return {"what": self.what, "value": self.value, "unit": self.unit, **known}


def show(console: Console, group: str, figures: Iterable[Figure]) -> None:
    """Print the figures of a group."""
    table = Table(group, "", "", "target", "", "", box=None)
    table.columns[1].justify = "right"
    for one in figures:
        met = {None: "", True: "yes", False: "no"}[one.met]
        table.add_row(one.what, f"{one.value:.{_digits(one.value)}f}", one.unit, one.target, met, one.note)
    console.print(table)
    console.print()


def _digits(value: float) -> int:
    """Digits behind the point: three that mean something."""
    return 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3


def taken(work: Callable[[], object]) -> float:
    """The seconds that some work took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of neighbours: a busy moment of the machine meets both."""
    return median(a / b for a, b in zip(own, other, strict=True))
