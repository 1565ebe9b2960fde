"""The body of an instance: what Google fills in, and what it refuses before anything is made.

A template has the same body, without a place; it is completed when an instance is made from it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

from testbed.api.call import Call
from testbed.api.discovery import Json
from testbed.api.services.compute import images, machine_types
from testbed.api.services.compute.names import url
from testbed.api.services.compute.references import qualified
from testbed.control.operations import Change
from testbed.control.plane import InvalidResource
from testbed.control.resources import Record
from testbed.errors import AlreadyExists, InvalidArgument
from testbed.model.base import COMPUTE_NAME, Defaults, last, region_of
from testbed.model.projects import project_number
from testbed.model.walk import Path

DISKS = "compute.disks"
NETWORK = "global/networks"
SUBNETWORK = "regions/-/subnetworks"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is to be."""

    call: Call
    project: str
    zone: str

    @property
    def known(self) -> Defaults:
        """What short names are completed with."""
        return self.call.scope(self.project, region=region_of(self.zone), zone=self.zone)

    def full(self, collection: str, name: str) -> str:
        """The full name of a resource of this zone."""
        return f"projects/{self.project}/zones/{self.zone}/{collection}/{name}"

    def reference(self, value: str, collection: str, path: Path) -> str:
        """The full name of what a body names.

        Raises:
            InvalidResource: it does not name something of that collection.
        """
        return qualified(path, collection, self.known, value)


def complete(body: Json, place: Place) -> Json:
    """An instance's body with everything that Google fills in, but for disks that are still to be made.

    Raises:
        InvalidArgument, NotFound: as Google refuses it.
    """
    result = {
        "canIpForward": False, "deletionProtection": False, "startRestricted": False, **copy.deepcopy(body),
    }  # fmt: skip
    result["machineType"] = machine_types.reference(
        result.get("machineType") or "n1-standard-1", place.project, place.zone
    )
    nics = result.get("networkInterfaces") or [{}]
    result["networkInterfaces"] = [_nic(nic, place, ("networkInterfaces", i)) for i, nic in enumerate(nics)]
    spot = body.get("scheduling", {}).get("provisioningModel") == "SPOT" or body.get("scheduling", {}).get(
        "preemptible"
    )
    result["scheduling"] = {
        "automaticRestart": not spot, "onHostMaintenance": "TERMINATE" if spot else "MIGRATE", "preemptible": False,
        "provisioningModel": "STANDARD", **body.get("scheduling", {}),
    }  # fmt: skip
    for account in result.get("serviceAccounts", ()):
        account["email"] = service_account(account.get("email", "default"), place.project)
    return result


def service_account(email: str, project: str) -> str:
    """An account by its address; `default` is Compute Engine's own of the project."""
    return f"{project_number(project)}-compute@developer.gserviceaccount.com" if email == "default" else email


def access_config(given: Json) -> Json:
    """An external address of a NIC with the defaults that Google fills in."""
    result = {"name": "External NAT", "type": "ONE_TO_ONE_NAT", "networkTier": "PREMIUM", **given}
    if not result.get("natIP"):
        result.pop("natIP", None)  # gcloud and Ansible may send an empty one
    return result


def _nic(given: Json, place: Place, path: Path) -> Json:
    nic = {"stackType": "IPV4_ONLY", **given}
    nic["subnetwork"] = _subnetwork(given, place, path)
    nic.pop("network", None)  # the subnet's, which is where it is looked up
    if "accessConfigs" in nic:
        nic["accessConfigs"] = [access_config(one) for one in nic["accessConfigs"]]
    if not nic.get("networkIP"):
        nic.pop("networkIP", None)
    return nic


def _subnetwork(nic: Json, place: Place, path: Path) -> str:
    """The subnet of a NIC, which may be given by its network alone if that is in auto mode."""
    plane = place.call.plane
    network = nic.get("network") and place.reference(nic["network"], NETWORK, (*path, "network"))
    if given := nic.get("subnetwork"):
        name = place.reference(given, SUBNETWORK, (*path, "subnetwork"))
        subnet = plane.get("compute.subnetworks", name)
        if network and subnet.body["network"] != network:
            rule = f"The specified subnetwork does not belong to the network '{network}'."
            raise InvalidResource((*path, "subnetwork"), given, rule)
        return name
    network = network or f"projects/{place.project}/{NETWORK}/default"
    body = plane.get("compute.networks", network).body
    if "IPv4Range" in body:
        raise InvalidResource(path, network, "The testbed has no instances in legacy networks.")
    if not body.get("autoCreateSubnetworks"):
        raise InvalidResource(path, nic, "Subnetwork should be specified for custom subnetmode network")
    scope = network.partition("/global/")[0]
    name = f"{scope}/regions/{region_of(place.zone)}/subnetworks/{last(network)}"
    return plane.get("compute.subnetworks", name).name


def with_disks(body: Json, place: Place) -> tuple[Json, tuple[Change, ...]]:
    """A body whose disks exist, and the changes that make them.

    Raises:
        InvalidArgument, NotFound, AlreadyExists: as Google refuses it.
    """
    disks = list(body.get("disks", ()))
    if not disks:
        raise InvalidResource(("disks",), "", "Boot disk must be specified.")
    if not any(disk.get("boot") for disk in disks):
        disks[0] = {**disks[0], "boot": True}
    made: list[Change] = []
    whole = [_disk(disk, body["name"], i, place, made) for i, disk in enumerate(disks)]
    return {**body, "disks": whole}, tuple(made)


def _disk(given: Json, instance: str, index: int, place: Place, made: list[Change]) -> Json:
    path: Path = ("disks", index)
    disk = {"mode": "READ_WRITE", "interface": "SCSI", "autoDelete": False, "boot": False, "type": "PERSISTENT",
            "deviceName": f"persistent-disk-{index}", **given}  # fmt: skip
    parameters: Json = disk.get("initializeParams", {})
    if source := disk.get("source"):
        found = place.call.plane.get(DISKS, place.reference(source, "zones/-/disks", (*path, "source")))
        disk |= {"source": found.name, "diskSizeGb": found.body["sizeGb"]}
        image = found.body.get("sourceImage")
    else:
        name = parameters.get("diskName") or (instance if disk["boot"] else f"{instance}-{index}")
        image = parameters.get("sourceImage")
        body = disk_body(name, parameters, place, given.get("diskSizeGb"))
        disk |= {"source": body["selfLink"], "diskSizeGb": body["sizeGb"]}
        if place.call.plane.find(DISKS, disk["source"]):
            raise AlreadyExists(f"The resource '{disk['source']}' already exists", reason="alreadyExists")
        made.append(Change(DISKS, disk["source"], body))
    if disk["boot"]:
        if image is None:
            raise InvalidResource(path, given, "Boot disk must have a source specified")
        images.check(place.call.images, image, (*path, "initializeParams", "sourceImage"))
        disk["initializeParams"] = {**parameters, "sourceImage": image}
    return disk


def disk_body(name: str, parameters: Json, place: Place, size: str | None = None) -> Json:
    """The body of a disk that is made with an instance."""
    if not COMPUTE_NAME.fullmatch(name):
        raise InvalidArgument(f"Invalid value for field 'resource.disks': '{name}' is not the name of a disk.")
    kind = last(parameters.get("diskType", "pd-standard"))
    if kind not in machine_types.DISK_TYPES:
        raise InvalidResource(("disks", "type"), kind, "The referenced resource does not exist.")
    result: Json = {
        "name": name, "type": place.full("diskTypes", kind),
        "sizeGb": size or parameters.get("diskSizeGb", str(images.SMALLEST_DISK)),
        "selfLink": place.full("disks", name), "zone": place.zone,
    }  # fmt: skip
    for key in ("sourceImage", "labels", "description", "licenses"):
        if key in parameters:
            result[key] = parameters[key]
    return result


def own_disks(record: Record, call: Call) -> Iterator[Record]:
    """The disks that go with an instance when it is deleted."""
    for disk in record.body.get("disks", ()):
        found = call.plane.find(DISKS, disk.get("source", "")) if disk.get("autoDelete") else None
        if found is not None:
            yield found


def disk_view(disk: Json, index: int, source: str) -> Json:
    """An attached disk as it is printed: what it was made from is the disk's own to say."""
    shown = {key: value for key, value in disk.items() if key not in {"initializeParams", "labels"}}
    return {
        "kind": "compute#attachedDisk", "type": "PERSISTENT", "mode": "READ_WRITE", "interface": "SCSI",
        "deviceName": f"persistent-disk-{index}", "boot": index == 0, "autoDelete": True,
        "diskSizeGb": str(images.SMALLEST_DISK), "architecture": "X86_64", **shown, "index": index,
        "source": url(source),
    }  # fmt: skip
