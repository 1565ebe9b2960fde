"""Machine types and disk types: what gcloud and Terraform look up before they make an instance.

A node has all of the machine that it runs on: types have no effect on packets.  The numbers are Google's (recalled).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from testbed.api.services.compute.collection import Collection
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import GoogleText
from testbed.json_object import Json
from testbed.model.core.places import REGIONS, zones
from testbed.model.core.resource import last, relative


class Shape(NamedTuple):
    """What a machine type has."""

    cpus: int
    memory: int
    """Mebibytes."""
    shared: bool = False
    """Whether it has a part of a core only."""


_GIB = 1024
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
    "e2-micro": Shape(2, 1 * _GIB, shared=True),
    "e2-small": Shape(2, 2 * _GIB, shared=True),
    "e2-medium": Shape(2, 4 * _GIB, shared=True),
    **{
        f"{series}-{cpus}": Shape(cpus, int(cpus * memory * _GIB))
        for series, memory in _MEMORY.items()
        for cpus in _SIZES.get(series.partition("-")[0], (2, 4, 8, 16, 32))
    },
}
_CUSTOM = re.compile(r"(?:(?:n1|n2|n2d|n4|e2)-)?custom-(\d+)-(\d+)(?:-ext)?")
DISK_TYPES = {
    "pd-standard": "Standard Persistent Disk",
    "pd-balanced": "Balanced Persistent Disk",
    "pd-ssd": "SSD Persistent Disk",
    "hyperdisk-balanced": "Hyperdisk Balanced",
}


def shape(name: str) -> Shape | None:
    """What a machine type has, custom ones included; None if there is no such type."""
    if custom := _CUSTOM.fullmatch(name):
        return Shape(int(custom[1]), int(custom[2]))
    return SHAPES.get(name)


def reference(value: str, project: str, zone: str) -> str:
    """The full name of the machine type that a body names.

    Raises:
        InvalidResource: there is none.
    """
    name = last(relative(value))
    if shape(name) is None:
        raise InvalidResource(("machineType",), value, GoogleText("The referenced resource does not exist."))
    return f"projects/{project}/zones/{zone}/machineTypes/{name}"


def _everywhere(kind: str, names: Iterable[str], project: str) -> Iterator[Record]:
    for region in REGIONS:
        for zone in zones(region):
            for name in names:
                yield Record(f"compute.{kind}", f"projects/{project}/zones/{zone}/{kind}/{name}", {})


def _machine(_: ControlPlane, record: Record) -> Json:
    found = SHAPES[record.id]
    words = f"{found.cpus} vCPU{'s' if found.cpus > 1 else ''} {found.memory / _GIB:g} GB RAM"
    return {
        "description": words,
        "guestCpus": found.cpus,
        "memoryMb": found.memory,
        "isSharedCpu": found.shared,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 16 if found.shared else 128,
        "maximumPersistentDisksSizeGb": "3072" if found.shared else "263168",
        "architecture": "X86_64",
        "zone": record.name.split("/")[3],
    }


def _disk(_: ControlPlane, record: Record) -> Json:
    return {"description": DISK_TYPES[record.id], "defaultDiskSizeGb": "100", "validDiskSize": "10GB-65536GB"}


Collection(
    name="machineTypes",
    singular="machineType",
    scope="zones",
    view=_machine,
    given=lambda _, project: _everywhere("machineTypes", SHAPES, project),
).register()
Collection(
    name="diskTypes",
    singular="diskType",
    scope="zones",
    view=_disk,
    given=lambda _, project: _everywhere("diskTypes", DISK_TYPES, project),
).register()
