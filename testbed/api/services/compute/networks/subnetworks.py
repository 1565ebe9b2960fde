"""Subnetworks (behaviour 4.4).  Flow logs and secondary ranges are kept, and have no effect on packets."""

from __future__ import annotations

from ipaddress import IPv4Network

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import filters, listing
from testbed.api.services import iampolicy
from testbed.api.services.compute import collection
from testbed.api.services.compute.collection import API, Collection
from testbed.api.services.compute.names import url
from testbed.api.services.compute.networks import shared_vpc
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.ranges import gateway

LARGEST_OF_AUTO_MODE = 16
"""To what a subnet of an auto mode network can grow (recalled)."""


_LOGGED: Json = {"aggregationInterval": "INTERVAL_5_SEC", "flowSampling": 0.5, "metadata": "EXCLUDE_ALL_METADATA"}
"""How flows are logged unless a subnet says otherwise (behaviour 5.5.4)."""


def defaults(body: Json) -> Json:
    """A subnet with what Google fills in; flow logs have two fields that say the same.

    "If this field is not explicitly set, it will not appear" (enableFlowLogs, compute v1).
    """
    result = {
        "purpose": "PRIVATE",
        "privateIpGoogleAccess": False,
        "stackType": "IPV4_ONLY",
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        **body,
    }
    logs = result.get("logConfig", {}).get("enable", result.get("enableFlowLogs"))
    if logs is not None:
        result["logConfig"] = {**(_LOGGED if logs else {}), **result.get("logConfig", {}), "enable": logs}
    if logs or "enableFlowLogs" in result:
        result["enableFlowLogs"] = bool(logs)
    return result


def view(_: ControlPlane, record: Record) -> Json:
    """Its gateway (behaviour 4.4.5), and what it says of itself."""
    return {
        "gatewayAddress": str(gateway(record.body["ipCidrRange"])),
        "state": "READY",
        "allowSubnetCidrRoutesOverlap": record.body.get("allowSubnetCidrRoutesOverlap", False),
    }


SUBNETWORKS = Collection(
    name="subnetworks",
    singular="subnetwork",
    scope="regions",
    defaults=defaults,
    view=view,
    fingerprinted=True,
    immutable=frozenset({"name", "network", "ipCidrRange", "purpose"}),
).register("insert", "get", "list", "aggregatedList")


iampolicy.register(API, SUBNETWORKS.name, lambda call: SUBNETWORKS.record(call, call.text("resource")).name)


def of_network(plane: ControlPlane, network: str) -> list[Record]:
    """The subnets of a network."""
    return [record for record in plane.list(SUBNETWORKS.kind) if record.body.get("network") == network]


@serves(API, "subnetworks.delete")
def delete(call: Call) -> Answer:
    """Delete a subnet; those that auto mode made go with their network.

    Raises:
        InvalidArgument: auto mode made it.
    """
    record = SUBNETWORKS.settled(call)
    if _is_auto(call.plane, record):
        raise InvalidArgument(GoogleText("Cannot delete auto subnetwork from an auto subnet mode network."))  # recalled
    return collection.delete(SUBNETWORKS, call)


@serves(API, "subnetworks.patch")
def patch(call: Call) -> Answer:
    """Merge a body into a subnet.

    Raises:
        FailedPrecondition: the body has no fingerprint ("must be provided in order to update": compute v1), or an old
            one.
    """
    if not call.body.get("fingerprint"):
        message = "An up-to-date fingerprint must be provided in order to update the Subnetwork."
        raise FailedPrecondition(GoogleText(message), reason="conditionNotMet")
    return collection.patch(SUBNETWORKS, call)


@serves(API, "subnetworks.expandIpCidrRange")
def expand(call: Call) -> Answer:
    """Give a subnet a larger range, which has the old one in it: it never shrinks (behaviour 4.4.1).

    Raises:
        InvalidArgument: the new range is none such.
    """
    record = SUBNETWORKS.settled(call)
    text = call.body.get("ipCidrRange", "")
    try:
        new = IPv4Network(text)
    except ValueError:
        raise InvalidResource(("ipCidrRange",), text, "must be an IPv4 range in CIDR notation") from None
    old = IPv4Network(record.body["ipCidrRange"])
    if not (old.subnet_of(new) and new.prefixlen < old.prefixlen):
        raise InvalidResource(("ipCidrRange",), text, f"must be larger than the present range, {old}, and contain it")
    if _is_auto(call.plane, record) and new.prefixlen < LARGEST_OF_AUTO_MODE:
        rule = f"must not be larger than /{LARGEST_OF_AUTO_MODE} in an auto mode network"
        raise InvalidResource(("ipCidrRange",), text, rule)
    return SUBNETWORKS.submit(call, record, {**record.body, "ipCidrRange": text}, "expandIpCidrRange")


@serves(API, "subnetworks.setPrivateIpGoogleAccess")
def set_private_access(call: Call) -> Answer:
    """Say whether NICs without an external address may reach Google's APIs."""
    record = SUBNETWORKS.settled(call)
    body = {**record.body, "privateIpGoogleAccess": bool(call.body.get("privateIpGoogleAccess"))}
    return SUBNETWORKS.submit(call, record, body, "setPrivateIpGoogleAccess")


@serves(API, "subnetworks.listUsable")
def usable(call: Call) -> Json:
    """The subnets of a project and of the Shared VPC host that it is attached to."""
    project = call.text("project")
    projects = [project, *filter(None, [shared_vpc.host_of(call.plane, project)])]
    records = [r for name in projects for r in call.plane.list(SUBNETWORKS.kind, f"projects/{name}/")]
    page = listing.page(
        [_usable(record) for record in records],
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        predicate=filters.compute(call.text("filter")),
        collection=project,
        rules=listing.COMPUTE,
        key=lambda item: str(item["subnetwork"]),
    )
    name = f"projects/{project}/aggregated/subnetworks/listUsable"
    answer: Json = {"kind": "compute#usableSubnetworksAggregatedList", "id": name, "selfLink": url(name)}
    return {**answer, **page.answer("items")}


def _usable(record: Record) -> Json:
    body = defaults(record.body)
    kept: Json = {key: body[key] for key in ("ipCidrRange", "purpose", "role", "stackType") if key in body}
    result: Json = {"subnetwork": url(record.name), "network": url(body["network"]), **kept}
    if second := body.get("secondaryIpRanges"):
        result["secondaryIpRanges"] = [
            {"rangeName": one["rangeName"], "ipCidrRange": one["ipCidrRange"], "status": "UNUSED"} for one in second
        ]
    return result


def _is_auto(plane: ControlPlane, record: Record) -> bool:
    """Whether auto mode made a subnet: it has the name of its network."""
    network = plane.get("compute.networks", record.body["network"])
    return bool(network.body.get("autoCreateSubnetworks")) and network.id == record.id
