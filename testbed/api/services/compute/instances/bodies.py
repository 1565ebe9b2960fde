"""The body of an instance: what Google fills in, and what it refuses before anything is made.

A template has the same body, without a place; it is completed when an instance is made from it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from testbed.api.calls.call import Call
from testbed.api.services.compute.instances import machine_types
from testbed.api.services.compute.references import qualified
from testbed.control.accept.plane import InvalidResource
from testbed.errors import GoogleText
from testbed.fabric.allocation.keys import AddressKey
from testbed.json_object import Json
from testbed.model.core.annotations import Path
from testbed.model.core.projects import compute_account
from testbed.model.core.resource import Defaults, last, region_of

NETWORK = "global/networks"
SUBNETWORK = "regions/-/subnetworks"
ADDRESS = "regions/-/addresses"


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
    """An instance's body with everything that Google fills in, without its disks (`attached_disks` adds those).

    Raises:
        InvalidArgument, NotFound: as Google refuses it.
    """
    result = {
        "canIpForward": False,
        "deletionProtection": False,
        "startRestricted": False,
        **copy.deepcopy(body),
    }
    result["machineType"] = machine_types.reference(
        result.get("machineType") or "n1-standard-1", place.project, place.zone
    )
    nics = result.get("networkInterfaces") or [{}]
    result["networkInterfaces"] = [_nic(nic, place, ("networkInterfaces", i)) for i, nic in enumerate(nics)]
    result["scheduling"] = scheduling(body)
    for account in result.get("serviceAccounts", ()):
        account["email"] = service_account(account.get("email", "default"), place.project)
    return result


def service_account(email: str, project: str) -> str:
    """An account by its address; `default` is Compute Engine's own of the project."""
    return compute_account(project) if email == "default" else email


def access_config(given: Json) -> Json:
    """An external address of a NIC with the defaults that Google fills in."""
    result = {"name": "External NAT", "type": "ONE_TO_ONE_NAT", "networkTier": "PREMIUM", **given}
    if not result.get("natIP"):
        result.pop("natIP", None)  # gcloud and Ansible may send an empty one
    return result


def scheduling(body: Json) -> Json:
    """How an instance with these properties is scheduled."""
    given: Json = body.get("scheduling", {})
    spot = given.get("provisioningModel") == "SPOT" or given.get("preemptible")
    return {
        "automaticRestart": not spot,
        "onHostMaintenance": "TERMINATE" if spot else "MIGRATE",
        "preemptible": False,
        "provisioningModel": "STANDARD",
        **given,
    }


def _nic(given: Json, place: Place, path: Path) -> Json:
    nic = {"stackType": "IPV4_ONLY", **given}
    nic["subnetwork"] = _subnetwork(given, place, path)
    nic.pop("network", None)  # the subnet's, which is where it is looked up
    if "accessConfigs" in nic:
        nic["accessConfigs"] = [access_config(one) for one in nic["accessConfigs"]]
    if address := nic.pop("networkIP", None):
        nic["networkIP"] = _internal(address, place, (*path, "networkIP"))
    return nic


def _internal(given: str, place: Place, path: Path) -> str:
    """The internal address of a NIC that is given by itself, or by the URL of a reserved one."""
    if "/" not in given:
        return given
    name = place.reference(given, ADDRESS, path)
    reserved = place.call.plane.get("compute.addresses", name).body.get("address")
    return str(reserved or place.call.plane.running.allocations.addresses[AddressKey.reserved(name)])


def _subnetwork(nic: Json, place: Place, path: Path) -> str:
    """The subnet of a NIC, which may be given by its network alone if that is in auto mode."""
    plane = place.call.plane
    network = nic.get("network") and place.reference(nic["network"], NETWORK, (*path, "network"))
    if given := nic.get("subnetwork"):
        name = place.reference(given, SUBNETWORK, (*path, "subnetwork"))
        subnet = plane.get("compute.subnetworks", name)
        if network and subnet.body["network"] != network:
            rule = f"must be a subnetwork of the network '{network}'"
            raise InvalidResource((*path, "subnetwork"), given, rule)
        return name
    network = network or f"projects/{place.project}/{NETWORK}/default"
    body = plane.get("compute.networks", network).body
    if "IPv4Range" in body:
        raise InvalidResource(path, network, "the testbed has no instances in legacy networks")
    if not body.get("autoCreateSubnetworks"):
        raise InvalidResource(path, nic, GoogleText("Subnetwork should be specified for custom subnetmode network"))
    scope = network.partition("/global/")[0]
    name = f"{scope}/regions/{region_of(place.zone)}/subnetworks/{last(network)}"
    return plane.get("compute.subnetworks", name).name
