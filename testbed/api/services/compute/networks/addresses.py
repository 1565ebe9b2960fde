"""Reserved addresses: external and internal ones of a region, and ranges for private services access."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Network

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute.collection import API, Collection, delete, set_labels
from testbed.api.services.compute.names import numeric_id, url
from testbed.control.accept.plane import IN_USE, ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, ResourceExhausted, Unimplemented
from testbed.fabric.allocation.addressing import ranges_in_use
from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.inventory import Participant, participants
from testbed.json_object import Json
from testbed.model.core.resource import segment

SERVERLESS = "SERVERLESS"
"""The purpose of addresses that the serverless platform reserves."""
PICKED_FROM = IPv4Network("10.0.0.0/9")
"""Where a range is taken from if none is asked for: not where auto mode networks have theirs (our choice)."""


def defaults(body: Json) -> Json:
    """An address with what Google fills in."""
    if body.get("addressType", "EXTERNAL") == "INTERNAL":
        return {"purpose": "GCE_ENDPOINT", "networkTier": "PREMIUM", **body}
    return {"addressType": "EXTERNAL", "networkTier": "PREMIUM", **body}


def complete(body: Json, call: Call) -> Json:
    """A regional address; an internal one that names no subnet is of the default network's."""
    if body["addressType"] == "INTERNAL" and "subnetwork" not in body:
        return {**body, "subnetwork": f"regions/{call.text('region')}/subnetworks/default"}
    return body


def complete_range(body: Json, call: Call) -> Json:
    """A range of a network: one that is free, if no address is given.

    Raises:
        Unimplemented: it is to be an external address, or something else that only load balancers use.
        ResourceExhausted: no range of this size is free.
    """
    if body["addressType"] == "EXTERNAL" or body.get("purpose") != "VPC_PEERING":
        what = "ranges for private services access (--purpose=VPC_PEERING)"
        raise Unimplemented(f"global address: the testbed has no load balancers, and so only {what}")
    if "network" not in body or "prefixLength" not in body:
        missing = "prefixLength" if "network" in body else "network"
        raise InvalidResource((missing,), "", "must be given for a range of purpose VPC_PEERING")
    return body if "address" in body else {**body, "address": _free(call.plane, body["prefixLength"])}


def _free(plane: ControlPlane, prefix: int) -> str:
    used = [IPv4Network(cidr) for cidr in ranges_in_use(plane.topology())]
    used += [IPv4Network(f"{r.body['address']}/{r.body['prefixLength']}") for r in plane.list(RANGES.kind)]
    if PICKED_FROM.prefixlen <= prefix:
        for candidate in PICKED_FROM.subnets(new_prefix=prefix):
            if not any(candidate.overlaps(other) for other in used):
                return str(candidate.network_address)
    raise ResourceExhausted(f"address: no range of /{prefix} is free in {PICKED_FROM}")


def view(plane: ControlPlane, record: Record) -> Json:
    """The address itself, and who uses it."""
    result: Json = {"description": record.body.get("description", "")}
    address = record.body.get("address") or plane.running.allocations.addresses.get(AddressKey.reserved(record.name))
    if address:
        result["address"] = address
    users = [url(user) for user in _users(plane, record, address)]
    result["status"] = "IN_USE" if users or record.body.get("purpose") == SERVERLESS else "RESERVED"
    return {**result, "users": users} if users else result


def _users(plane: ControlPlane, record: Record, address: str | None) -> Iterator[str]:
    """The resources that have a regional address (of a range the API does not say it)."""
    internal, given = record.body.get("addressType") == "INTERNAL", plane.running.allocations.addresses
    for instance in plane.list("compute.instances"):
        key = AddressKey.instance(instance.name) if internal else AddressKey.external(instance.name)
        for nic in instance.body.get("networkInterfaces", ()):
            named = [nic.get("networkIP")] if internal else [one.get("natIP") for one in nic.get("accessConfigs", ())]
            if address in {given.get(key) if has is None else has for has in named}:
                yield instance.name
    for router in plane.list("compute.routers"):
        if any(record.name in nat.get("natIps", ()) for nat in router.body.get("nats", ())):
            yield router.name
    for rule in plane.list("compute.forwardingRules"):
        if rule.body.get("IPAddress") in {record.name, address}:
            yield rule.name


def _others(plane: ControlPlane, project: str) -> Iterator[Record]:
    """The ranges of the project's networks, and what instances with Direct VPC egress have now (behaviour 7.2)."""
    yield from plane.list(RANGES.kind, f"projects/{project}/")
    for one in participants(plane.topology(), plane.running):
        if one.kind == "direct" and one.subnetwork and segment(one.subnetwork, "projects") == project:
            yield _serverless(one)


def _serverless(instance: Participant) -> Record:
    """The address of an instance of a workload, which the serverless platform has reserved (purpose recalled)."""
    project = segment(instance.network, "projects")
    name = f"serverless-ipv4-{numeric_id(f'{instance.owner} {instance.address}')}"
    body: Json = {
        "name": name,
        "address": instance.address,
        "addressType": "INTERNAL",
        "purpose": SERVERLESS,
        "networkTier": "PREMIUM",
        "subnetwork": url(instance.subnetwork or ""),
        "region": url(f"projects/{project}/regions/{instance.region}"),
    }
    return Record(ADDRESSES.kind, f"projects/{project}/regions/{instance.region}/addresses/{name}", body)


ADDRESSES = Collection(
    name="addresses",
    singular="address",
    scope="regions",
    defaults=defaults,
    complete=complete,
    view=view,
    given=_others,
    labelled=True,
).register("get", "insert", "list", "aggregatedList")
RANGES = Collection(
    name="globalAddresses",
    segment="addresses",
    singular="address",
    scope="global",
    defaults=defaults,
    complete=complete_range,
    view=view,
    labelled=True,
).register()


def _of_the_user(action: Callable[[Collection, Call], Answer], call: Call) -> Answer:
    """Change or delete an address, unless an instance with Direct VPC egress has it.

    Raises:
        FailedPrecondition: it is in use.
    """
    record = ADDRESSES.record(call, call.text("resource") or call.text("address"))
    if record.body.get("purpose") == SERVERLESS:
        raise FailedPrecondition(
            f"address '{record.id}': it is already being used by an instance of a service", reason=IN_USE
        )
    return action(ADDRESSES, call)


serves(API, "addresses.delete")(partial(_of_the_user, delete))
serves(API, "addresses.setLabels")(partial(_of_the_user, set_labels))
