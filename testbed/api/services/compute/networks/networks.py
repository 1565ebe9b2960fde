"""VPC networks: custom and auto mode, and legacy ones (behaviour 4.4)."""

from __future__ import annotations

from ipaddress import IPv4Network

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute.collection import API, Collection, resource_id
from testbed.api.services.compute.names import url
from testbed.api.services.compute.networks import peerings
from testbed.api.services.compute.networks.subnetworks import SUBNETWORKS, of_network
from testbed.control.accept.plane import IN_USE, ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model import managed_rules
from testbed.model.compute.network import auto_subnetworks

LEGACY_RANGE = "10.240.0.0/16"
"""Of a legacy network that names none (recalled)."""


def defaults(body: Json) -> Json:
    """A network with what Google fills in."""
    routing = {"routingMode": "REGIONAL", **body.get("routingConfig", {})}
    result = {"networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL", **body, "routingConfig": routing}
    return result if "IPv4Range" in body else {"autoCreateSubnetworks": False, **result}


def view(plane: ControlPlane, record: Record) -> Json:
    """Its subnets, and the states of its peerings."""
    result: Json = {
        "selfLinkWithId": url(f"{record.name.rpartition('/')[0]}/{resource_id(record)}"),
        "routingConfig": {
            "routingMode": "REGIONAL",
            "bgpBestPathSelectionMode": "LEGACY",
            **record.body.get("routingConfig", {}),
        },
    }
    if subnets := of_network(plane, record.name):
        result["subnetworks"] = [url(subnet.name) for subnet in subnets]
    if found := peerings.view(plane, record):
        result["peerings"] = found
    if legacy := record.body.get("IPv4Range"):
        result["gatewayIPv4"] = str(IPv4Network(legacy)[1])
    return result


NETWORKS = Collection(
    name="networks",
    singular="network",
    scope="global",
    defaults=defaults,
    view=view,
    immutable=frozenset({"name", "IPv4Range", "autoCreateSubnetworks"}),
    hidden=frozenset({"deleteDefaultRoutesOnCreate"}),
).register()


@serves(API, "networks.insert")
def insert(call: Call) -> Answer:
    """Make a network, and (in auto mode) a subnet in every region; if it says nothing of subnets, a legacy network.

    Raises:
        AlreadyExists: the network is there, or a subnet that it would have.
    """
    full = NETWORKS.new(call, call.body.get("name", ""))
    given = call.body if "autoCreateSubnetworks" in call.body else {"IPv4Range": LEGACY_RANGE, **call.body}
    body = NETWORKS.resolved(call, NETWORKS.completed(given, call), full)
    changes = [ResourceChange(NETWORKS.kind, full, body)]
    for subnet in auto_subnetworks(full) if body.get("autoCreateSubnetworks") else ():
        if call.plane.find(SUBNETWORKS.kind, subnet.full_name):
            raise AlreadyExists(GoogleText(f"The resource '{subnet.full_name}' already exists"), reason="alreadyExists")
        made = {
            "name": subnet.name,
            "network": full,
            "region": subnet.region,
            "ipCidrRange": subnet.ip_cidr_range,
            "selfLink": subnet.full_name,
        }
        changes.append(ResourceChange(SUBNETWORKS.kind, subnet.full_name, SUBNETWORKS.completed(made, call)))
    return call.plane.submit(NETWORKS.operation(call, full, tuple(changes), "insert"))


@serves(API, "networks.delete")
def delete(call: Call) -> Answer:
    """Delete a network with what came into being with it: the subnets of auto mode, the default route."""
    record = NETWORKS.settled(call)
    if (rule := _of_a_connector(call.plane, record.name)) is not None:
        message = f"The network resource '{record.name}' is already being used by '{rule}'"
        raise FailedPrecondition(GoogleText(message), reason=IN_USE)
    auto = {subnet.full_name for subnet in auto_subnetworks(record.name)}
    gone = [s for s in of_network(call.plane, record.name) if s.name in auto] if is_auto(record) else []
    changes = [ResourceChange(one.kind, one.name, None) for one in (*gone, record)]
    return call.plane.submit(NETWORKS.operation(call, record.name, tuple(changes), "delete"))


def _of_a_connector(plane: ControlPlane, network: str) -> str | None:
    """The managed rule by which a connector keeps its network, as Google names it (behaviour 1.10.3)."""
    rules = (rule.full_name for _, rule in managed_rules.of_connectors(plane.topology(), network))
    return next((name for name in rules if name.endswith("-egrfw")), None)


@serves(API, "networks.switchToCustomMode")
def switch_to_custom_mode(call: Call) -> Answer:
    """From now on its subnets are the user's own."""
    record = NETWORKS.settled(call)
    if not is_auto(record):
        raise InvalidArgument(f"network '{record.name}': it is not in auto mode")  # our words
    body = {**record.body, "autoCreateSubnetworks": False}
    return NETWORKS.submit(call, record, body, "switchToCustomMode")


def is_auto(record: Record) -> bool:
    """Whether a network is in auto mode."""
    return bool(record.body.get("autoCreateSubnetworks"))
