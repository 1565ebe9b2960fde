"""Forwarding rules, as far as classic VPN needs them: what an address sends to a gateway (behaviour 4.10.1)."""

from __future__ import annotations

from testbed.api.calls.call import Call
from testbed.api.services.compute.collection import Collection
from testbed.api.services.compute.names import fingerprint
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, Unimplemented
from testbed.fabric.allocation.keys import AddressKey
from testbed.json_object import Json
from testbed.model.core.resource import last, relative

_BALANCERS = ("backendService", "ports", "allPorts", "network", "subnetwork", "sourceIpRanges", "allowGlobalAccess")
"""Fields that only rules of load balancers and of Private Service Connect have."""


def complete(body: Json, call: Call) -> Json:
    """A rule with its address by name, and its port as one number.

    Raises:
        Unimplemented: it is not for a classic VPN gateway.
        InvalidResource: its address is not a reserved one of the region.
    """
    target = body.get("target", "")
    if "/targetVpnGateways/" not in f"/{target}" or any(body.get(key) for key in _BALANCERS):
        raise Unimplemented("forwarding rules: the testbed has those to classic VPN gateways only (target)")
    result = {"loadBalancingScheme": "EXTERNAL", "networkTier": "PREMIUM", **body}
    result["IPAddress"] = _address(body.get("IPAddress", ""), call)
    if port := body.get("portRange"):
        first, _, end = port.partition("-")
        result["portRange"] = first if end in ("", first) else port
    _conflict(result, call)
    return result


def _address(given: str, call: Call) -> str:
    """The name of a reserved address that is given by name, link or number."""
    place = f"projects/{call.text('project')}/regions/{call.text('region')}/addresses/"
    reserved = call.plane.list("compute.addresses", place)
    addresses = call.plane.running.allocations.addresses
    for record in reserved:
        number = record.body.get("address") or addresses.get(AddressKey.reserved(record.name))
        if number == given or f"/{record.name}".endswith(f"/{relative(given)}"):
            return record.name
    rule = "must be a reserved external address of the region of the classic VPN gateway"
    raise InvalidResource(("IPAddress",), given, rule)


def _conflict(body: Json, call: Call) -> None:
    """Refuse a second rule for the same packets."""

    def of(rule: Json) -> tuple[object, ...]:
        return rule["IPAddress"], rule["IPProtocol"], rule.get("portRange")

    for record in call.plane.list("compute.forwardingRules"):
        if of(record.body) == of(body) and record.id != body.get("name"):
            rule = "Specified IP address is in-use and would result in a conflict."
            raise InvalidResource(("IPAddress",), last(body["IPAddress"]), GoogleText(rule))


def view(plane: ControlPlane, record: Record) -> Json:
    """The address as a number, and the port as a range."""
    address = record.body["IPAddress"]
    result: Json = {"fingerprint": fingerprint(record.name, record.generation)}
    if number := plane.running.allocations.addresses.get(AddressKey.reserved(address)):
        result["IPAddress"] = number
    if port := record.body.get("portRange"):
        result["portRange"] = f"{port}-{port}"
    return {"loadBalancingScheme": "EXTERNAL", "networkTier": "PREMIUM", **result}


FORWARDING_RULES = Collection(
    name="forwardingRules", singular="forwardingRule", scope="regions", complete=complete, view=view, labelled=True
).register("insert", "get", "list", "aggregatedList", "delete", "setLabels")
