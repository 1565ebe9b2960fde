"""Machine types: the memory and the processors of a VM.  The numbers are Google's (recalled)."""

from __future__ import annotations

import re
from typing import NamedTuple


class Shape(NamedTuple):
    """What a machine type has."""

    cpus: int
    memory: int
    """Mebibytes."""
    shared: bool = False
    """Whether it has a part of a core only."""


GIB_OF_MIB = 1024
_MEMORY = {
    "e2-standard": 4, "e2-highmem": 8, "e2-highcpu": 1, "n1-standard": 3.75, "n1-highmem": 6.5, "n1-highcpu": 0.9,
    "n2-standard": 4, "n2-highmem": 8, "n2-highcpu": 1, "n2d-standard": 4, "n4-standard": 4, "c3-standard": 4,
    "c2-standard": 4, "t2d-standard": 4,
}  # fmt: skip
"""Gibibytes per virtual CPU, by series."""
_SIZES = {"n1": (1, 2, 4, 8, 16, 32), "c3": (4, 8, 22, 44), "c2": (4, 8, 16, 30), "t2d": (1, 2, 4, 8, 16, 32)}
SHAPES: dict[str, Shape] = {
    "f1-micro": Shape(1, 614, shared=True),
    "g1-small": Shape(1, 1740, shared=True),
    "e2-micro": Shape(2, 1 * GIB_OF_MIB, shared=True),
    "e2-small": Shape(2, 2 * GIB_OF_MIB, shared=True),
    "e2-medium": Shape(2, 4 * GIB_OF_MIB, shared=True),
    **{
        f"{series}-{cpus}": Shape(cpus, int(cpus * memory * GIB_OF_MIB))
        for series, memory in _MEMORY.items()
        for cpus in _SIZES.get(series.partition("-")[0], (2, 4, 8, 16, 32))
    },
}
_CUSTOM = re.compile(r"(?:(?:n1|n2|n2d|n4|e2)-)?custom-(\d+)-(\d+)(?:-ext)?")
_PARTS = {"f1-micro": 0.2, "g1-small": 0.5, "e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1.0}
"""Cores that types have which share them."""


def shape(name: str) -> Shape | None:
    """What a machine type has, custom ones included; None if there is no such type."""
    if custom := _CUSTOM.fullmatch(name):
        return Shape(int(custom[1]), int(custom[2]))
    return SHAPES.get(name)


def cores(name: str) -> float:
    """How many cores a machine type has at all times."""
    found = shape(name)
    return _PARTS.get(name, float(found.cpus if found else 1))
