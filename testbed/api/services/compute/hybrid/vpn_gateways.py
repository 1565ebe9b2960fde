"""VPN gateways (behaviour 4.10.1): classic ones, HA ones, and gateways elsewhere."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute.collection import API, Collection, delete
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import IN_USE, ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText
from testbed.fabric.allocation.keys import AddressKey
from testbed.json_object import Json
from testbed.model.hybrid.vpn import REDUNDANCY

TUNNELS = "compute.vpnTunnels"


def view(plane: ControlPlane, record: Record) -> Json:
    """What leads to a classic gateway, and what leads on from it."""
    rules = [r.name for r in plane.list("compute.forwardingRules") if r.body["target"] == record.name]
    tunnels = [r.name for r in plane.list(TUNNELS) if r.body.get("targetVpnGateway") == record.name]
    result: Json = {"status": "DELETING" if record.deleting else "CREATING" if record.pending else "READY"}
    if rules:
        result["forwardingRules"] = [url(name) for name in rules]
    return {**result, "tunnels": [url(name) for name in tunnels]} if tunnels else result


CLASSIC = Collection(
    name="targetVpnGateways", singular="targetVpnGateway", scope="regions", view=view, labelled=True
).register()


def complete_ha(body: Json, _: Call) -> Json:
    """An HA gateway in a network that is there.

    Raises:
        InvalidResource, NotFound: it is not, or none is named.
    """
    if not body.get("network"):
        raise InvalidResource(("network",), "", GoogleText("Required field not specified."))
    if body.get("stackType", "IPV4_ONLY") != "IPV4_ONLY":
        raise InvalidResource(("stackType",), body["stackType"], "the testbed has no IPv6")
    return {"stackType": "IPV4_ONLY", "gatewayIpVersion": "IPV4", **body}


def view_ha(plane: ControlPlane, record: Record) -> Json:
    """Its two interfaces, with their addresses as soon as they have some."""
    given = plane.running.allocations.addresses
    found = ((number, given.get(AddressKey.vpn_interface(record.name, number))) for number in (0, 1))
    return {"vpnInterfaces": [{"id": number, **({"ipAddress": ip} if ip else {})} for number, ip in found]}


HA = Collection(
    name="vpnGateways",
    singular="vpnGateway",
    scope="regions",
    complete=complete_ha,
    view=view_ha,
    labelled=True,
).register("insert", "get", "list", "aggregatedList", "setLabels")


def complete_external(body: Json, _: Call) -> Json:
    """A gateway elsewhere with as many interfaces as it says.

    Raises:
        InvalidResource: it has others.
    """
    kind, interfaces = body.get("redundancyType", ""), body.get("interfaces", [])
    if REDUNDANCY.get(kind) != len(interfaces):
        raise InvalidResource(
            ("interfaces",), len(interfaces), f"the number of interfaces does not fit {kind or 'none'}"
        )
    return {**body, "interfaces": [{"id": index, **one} for index, one in enumerate(interfaces)]}


EXTERNAL = Collection(
    name="externalVpnGateways",
    singular="externalVpnGateway",
    scope="global",
    complete=complete_external,
    labelled=True,
).register("insert", "get", "list", "setLabels")


@serves(API, "vpnGateways.delete")
def delete_ha(call: Call) -> Answer:
    """Delete an HA gateway that no tunnel has."""
    return _delete(HA, call, "vpnGateway", "peerGcpGateway")


@serves(API, "externalVpnGateways.delete")
def delete_external(call: Call) -> Answer:
    """Delete a gateway elsewhere that no tunnel has."""
    return _delete(EXTERNAL, call, "peerExternalGateway")


def _delete(collection: Collection, call: Call, *fields: str) -> Answer:
    record = collection.record(call)
    for tunnel in call.plane.list(TUNNELS):
        if any(tunnel.body.get(field) == record.name for field in fields):
            message = f"The vpn_gateway resource '{record.name}' is already being used by '{tunnel.name}'"
            raise FailedPrecondition(GoogleText(message), reason=IN_USE)
    return delete(collection, call)


@serves(API, "vpnGateways.getStatus")
def get_status(call: Call) -> Json:
    """The tunnels of an HA gateway by peer: redundant if both of its interfaces have one (of 99.99 %, recalled)."""
    record = HA.record(call)
    peers: dict[tuple[str, str], list[Json]] = {}
    for tunnel in call.plane.list(TUNNELS):
        body = tunnel.body
        if body.get("vpnGateway") == record.name:
            field = "peerExternalGateway" if "peerExternalGateway" in body else "peerGcpGateway"
            own = body.get("vpnGatewayInterface", 0)
            theirs = body.get("peerExternalGatewayInterface", 0) if field == "peerExternalGateway" else own
            shown = {"tunnelUrl": url(tunnel.name), "localGatewayInterface": own, "peerGatewayInterface": theirs}
            peers.setdefault((field, body.get(field, "")), []).append(shown)
    unmet = {"state": "CONNECTION_REDUNDANCY_NOT_MET", "unsatisfiedReason": "INCOMPLETE_TUNNELS_COVERAGE"}
    connections = []
    for (field, peer), tunnels in peers.items():
        met = {one["localGatewayInterface"] for one in tunnels} == {0, 1}
        state = {"state": "CONNECTION_REDUNDANCY_MET"} if met else unmet
        connections.append({field: url(peer), "tunnels": tunnels, "state": state})
    return {"result": {"vpnConnections": connections}}
