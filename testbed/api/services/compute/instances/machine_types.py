"""Machine types and disk types: what gcloud and Terraform look up before they make an instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testbed.api.services.compute.collection import Collection
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import GoogleText
from testbed.json_object import Json
from testbed.model.compute.machine_types import GIB_OF_MIB, SHAPES, shape
from testbed.model.core.places import REGIONS, zones
from testbed.model.core.resource import last, relative

DISK_TYPES = {
    "pd-standard": "Standard Persistent Disk",
    "pd-balanced": "Balanced Persistent Disk",
    "pd-ssd": "SSD Persistent Disk",
    "hyperdisk-balanced": "Hyperdisk Balanced",
}


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
    words = f"{found.cpus} vCPU{'s' if found.cpus > 1 else ''} {found.memory / GIB_OF_MIB:g} GB RAM"
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
