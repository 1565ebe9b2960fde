"""Routes: static ones, and those that networks, subnets and peerings bring (behaviour 4.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute import collection
from testbed.api.services.compute.collection import API, Collection
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import InvalidArgument
from testbed.fabric.producers import ranges
from testbed.json_object import Json
from testbed.model.compute.network import DEFAULT_INTERNET_GATEWAY, DEFAULT_ROUTE_PRIORITY
from testbed.model.core.resource import segment
from testbed.model.peering import active, offered

NETWORKS = "compute.networks"
DELETED = "deleteDefaultRoutesOnCreate"
"""Where the record of a network says that its default route was deleted."""


def defaults(body: Json) -> Json:
    """A route with what Google fills in."""
    return {"priority": DEFAULT_ROUTE_PRIORITY, **body}


def view(_: ControlPlane, record: Record) -> Json:
    """The type of a route, and its gateway as a link."""
    result: Json = {"routeType": "SUBNET" if "nextHopNetwork" in record.body else "STATIC"}
    if "nextHopGateway" in record.body:
        result["nextHopGateway"] = _gateway(segment(record.name, "projects"))
    return result


def system(plane: ControlPlane, project: str) -> Iterator[Record]:
    """The routes of a project that nobody made (names and descriptions recalled).

    Not those to hidden subnets of connectors: they are as hidden as these (behaviour 1.6.5).
    """
    for network in plane.list(NETWORKS, f"projects/{project}/"):
        local = {"network": url(network.name), "priority": 0, "nextHopNetwork": url(network.name)}
        if default := default_route(network):
            yield default
        if cidr := network.body.get("IPv4Range"):
            body = {**local, "destRange": cidr, "description": "Default route to the virtual network."}
            yield _made(network, "default-route-", cidr, body)
        for subnet in plane.list("compute.subnetworks", f"projects/{project}/"):
            if subnet.body["network"] == network.name:
                cidr = subnet.body["ipCidrRange"]
                body = {**local, "destRange": cidr, "description": f"Default local route to the subnetwork {cidr}."}
                yield _made(subnet, "default-route-r-", cidr, body)
    yield from _imported(plane, project)


def default_route(network: Record) -> Record | None:
    """The default route of a network, unless it was deleted (behaviour 4.3.3)."""
    if network.body.get(DELETED):
        return None
    body = {
        "network": url(network.name),
        "destRange": "0.0.0.0/0",
        "priority": DEFAULT_ROUTE_PRIORITY,
        "nextHopGateway": DEFAULT_INTERNET_GATEWAY,
        "description": "Default route to the Internet.",
    }
    return _made(network, "default-route-", "0.0.0.0/0", body)


def _imported(plane: ControlPlane, project: str) -> Iterator[Record]:
    topology = plane.topology()
    for (mine, theirs), sides in active(topology.networks).items():
        if segment(mine, "projects") != project or plane.find(NETWORKS, mine) is None:  # a producer's
            continue
        further = ranges(topology, plane.running, theirs)
        for route in offered(topology, theirs, sides.theirs, sides.mine, further):
            if route.imported:
                body = {
                    "network": url(mine),
                    "destRange": route.range,
                    "priority": route.priority,
                    "nextHopPeering": sides.mine.name,
                    "description": f"Auto generated route via peering [{sides.mine.name}].",
                }
                yield _made(plane.get(NETWORKS, mine), "peering-route-", f"{theirs} {route.range}", body)


def _made(source: Record, prefix: str, what: str, body: Json) -> Record:
    """A route that came with a resource; its name has 16 digits that say no more."""
    digits = hashlib.sha256(f"{source.name}#{source.number} {what}".encode()).hexdigest()[:16]
    name = f"projects/{segment(source.name, 'projects')}/global/routes/{prefix}{digits}"
    return Record(ROUTES.kind, name, body, created=source.created)


def _gateway(project: str) -> str:
    return url(f"projects/{project}/global/gateways/{DEFAULT_INTERNET_GATEWAY}")


ROUTES = Collection(
    name="routes",
    singular="route",
    scope="global",
    defaults=defaults,
    view=view,
    given=system,
).register("insert", "get", "list")


@serves(API, "routes.delete")
def delete(call: Call) -> Answer:
    """Delete a static route, or the default route of a network: nothing in it reaches the internet then.

    Raises:
        InvalidArgument: it is the route of a subnet or a peering (behaviour 4.3.2).
    """
    record = ROUTES.record(call)
    if record.number:
        return collection.delete(ROUTES, call)
    for network in call.plane.list(NETWORKS):
        default = default_route(network)
        if default is not None and default.name == record.name:
            changes = (ResourceChange(NETWORKS, network.name, {**network.body, DELETED: True}),)
            return call.plane.submit(ROUTES.operation(call, record.name, changes, "delete"))
    kind = "peering" if "nextHopPeering" in record.body else "local"
    raise InvalidArgument(f"route '{record.name}': it is a {kind} route and cannot be deleted")  # our words
