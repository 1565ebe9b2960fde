"""Direct VPC egress in the bodies of Cloud Run, Cloud Functions and App Engine (behaviour 7.2, 3.1)."""

from __future__ import annotations

from pydantic import ValidationError

from testbed.api.calls.call import Call
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.errors import CODES, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.resource import Defaults, last, qualify, segment
from testbed.model.rules.direct_egress import is_too_small, problem
from testbed.model.serverless.direct_egress import DirectInterface, subnet_like

SUBNETS = "compute.subnetworks"


def fits(interfaces: object, where: str, subnetwork: str = "subnetwork") -> None:
    """See that what was sent is one interface that is somewhere; App Engine calls the subnetwork `subnet`.

    An annotation of Knative's may have any JSON in it.

    Raises:
        InvalidArgument: it is not.
    """
    if not isinstance(interfaces, list) or len(interfaces) != 1 or not isinstance(interfaces[0], dict):
        raise InvalidArgument(f"{where}: only a single network interface is supported")
    places = [interfaces[0].get(field) or "" for field in ("network", subnetwork)]
    if not all(isinstance(place, str) for place in places) or not any(places):
        raise InvalidArgument(f"{where}[0]: at least one of network and {subnetwork} must be specified")


def completed(call: Call, interface: Json, known: Defaults, subnetwork: str = "subnetwork") -> Json:
    """An interface with full names, in a project and region; what is not given follows from what is.

    Raises:
        InvalidArgument: a name is none.
    """
    plane, result = call.plane, {key: value for key, value in interface.items() if value}
    try:
        for field, collection in (("network", "global/networks"), (subnetwork, "regions/-/subnetworks")):
            if field in result:
                result[field] = plane.with_id(qualify(result[field], collection, known))
    except ValueError as error:
        raise InvalidArgument(f"direct VPC egress: {error}") from None
    if subnetwork not in result:
        result[subnetwork] = subnet_like(result["network"], known.region or "")
    elif "network" not in result and (record := plane.find(SUBNETS, result[subnetwork])):
        result["network"] = record.body["network"]
    return result


def spelled(interface: Json, whole: Json, project: str) -> Json:
    """A complete interface as the client wrote it; what it left out is a short name, unless of another project."""
    given = {key: value for key, value in interface.items() if value}
    found = {
        key: last(value) if isinstance(value, str) and segment(value, "projects") == project else value
        for key, value in whole.items()
    }
    return {**found, **given}


def check(call: Call, interface: Json, region: str) -> None:
    """See that the subnet of a complete interface will do: of what runs later, no packet knows yet.

    Raises:
        NotFound, InvalidArgument: it is not there, or of another network or region.
    """
    try:
        place = DirectInterface.model_validate(interface).place(region)
    except ValidationError as error:
        raise InvalidArgument(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    found = problem(place, region, call.plane.topology().subnetworks)
    if found is not None:
        raise NotFound(found.message) if found.status == "NOT_FOUND" else InvalidArgument(found.message)


def shortage(plane: ControlPlane, interface: Json, subnetwork: str = "subnetwork") -> Json | None:
    """Why no instance starts in the subnet of a complete interface, as a `google.rpc.Status`, if it is too small.

    The text is Google's (GoogleCloudPlatform/enterprise-knowledge-solution, pull request 172), the code recalled.
    """
    subnet = plane.topology().subnetworks.get(interface[subnetwork])
    if subnet is None or not is_too_small(subnet):
        return None
    text = (
        f"Instance failed to start because of insufficient free IP addresses in the subnetwork {url(subnet.full_name)}"
        " when attempting to create an address in the subnetwork. Please consider moving to a subnetwork with more"
        " available IP addresses."
    )
    return {"code": CODES["RESOURCE_EXHAUSTED"], "message": GoogleText(text)}
