"""The methods of a network that make, change and look at its peerings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import filters, listing
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.names import url
from testbed.api.services.compute.networks import peerings
from testbed.api.services.compute.networks.networks import NETWORKS
from testbed.control.accept.plane import InvalidResource
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument, NotFound
from testbed.fabric.hybrid import bgp
from testbed.fabric.producers import ranges
from testbed.json_object import Json
from testbed.model.compute.network import Peering
from testbed.model.peering import Exchanged, active, offered
from testbed.model.topology import Topology


@serves(API, "networks.addPeering")
def add(call: Call) -> Answer:
    """Make this side of a peering; it is active once the other side is there as well.

    Raises:
        AlreadyExists: there is one of this name, or to this network.
        InvalidArgument: ranges overlap (behaviour 4.5.5), or the body is incomplete.
    """
    record = NETWORKS.settled(call)
    body = call.body
    given = body.get("networkPeering") or {"name": body.get("name"), "network": body.get("peerNetwork")}
    for field in ("name", "network"):
        if not given.get(field):
            raise InvalidResource(("networkPeering", field), "", "must be given")
    known = _of(record)
    if given["name"] in {peering["name"] for peering in (*known, *peerings.view(call.plane, record))}:
        message = f"network '{record.name}': it already has a peering '{given['name']}'"
        raise AlreadyExists(message, reason="alreadyExists")
    return _change(call, record, [*known, {**peerings.DEFAULTS, **given}], "addPeering")


@serves(API, "networks.updatePeering")
def update(call: Call) -> Answer:
    """Change what a peering exchanges."""
    record = NETWORKS.settled(call)
    given = call.body.get("networkPeering", {})
    if connection := _connection(call, record, given.get("name", "")):
        flags = {key: given[key] for key in ("exportCustomRoutes", "importCustomRoutes") if key in given}
        changes = (ResourceChange(peerings.CONNECTIONS, connection.name, {**connection.body, **flags}),)
        return call.plane.submit(NETWORKS.operation(call, record.name, changes, "updatePeering"))
    old = _named(record, given.get("name", ""))
    changed = [{**one, **given, "network": one["network"]} if one is old else one for one in _of(record)]
    return _change(call, record, changed, "updatePeering")


@serves(API, "networks.removePeering")
def remove(call: Call) -> Answer:
    """Remove this side of a peering: no packet passes any more.

    Raises:
        FailedPrecondition: it is the peering of a private connection, which has a deletion of its own (our choice).
    """
    record = NETWORKS.settled(call)
    if _connection(call, record, call.body.get("name", "")):
        raise FailedPrecondition(f"peering '{call.body['name']}': it belongs to a private connection; delete that")
    old = _named(record, call.body.get("name", ""))
    return _change(call, record, [one for one in _of(record) if one is not old], "removePeering")


@serves(API, "networks.listPeeringRoutes")
def routes(call: Call) -> Json:
    """The routes that a peering brings (INCOMING) or offers to the other side (OUTGOING)."""
    record = NETWORKS.record(call)
    connection = _connection(call, record, call.text("peeringName"))
    peer = peerings.of_connection(connection).producer if connection else ""
    peer = peer or _named(record, call.text("peeringName"))["network"]
    direction = call.text("direction")
    if direction not in {"INCOMING", "OUTGOING"}:
        raise InvalidArgument(GoogleText("Invalid value for field 'direction': must be INCOMING or OUTGOING."))
    found = list(_between(call, record.name, peer, incoming=direction == "INCOMING"))
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        predicate=filters.compute(call.text("filter")),
        collection=record.name,
        rules=listing.COMPUTE,
        key=lambda item: str(item["destRange"]),
    )
    link = url(f"{record.name}/listPeeringRoutes")
    answer: Json = {"kind": "compute#exchangedPeeringRoutesList", "id": record.name, "selfLink": link}
    return {**answer, **page.answer("items")}


def _between(call: Call, mine: str, theirs: str, *, incoming: bool) -> Iterator[Json]:
    """What a network is offered by its peer, or offers it, if the peering is active."""
    topology = call.plane.topology()
    if (sides := active(topology.networks).get((mine, theirs))) is None:
        return
    owner, export, into = (theirs, sides.theirs, sides.mine) if incoming else (mine, sides.mine, sides.theirs)
    further = ranges(topology, call.plane.running, owner) if incoming else ()
    yield from map(_exchanged, offered(topology, owner, export, into, further))
    yield from _dynamic(call, topology, owner, export, into)


def _exchanged(route: Exchanged) -> Json:
    return {"destRange": route.range, "type": route.type, "priority": route.priority, "imported": route.imported}


def _dynamic(call: Call, topology: Topology, owner: str, export: Peering, into: Peering) -> Iterator[Json]:
    """The dynamic routes of a network that apply in the region of the call, as custom routes are exchanged (4.5.3)."""
    if not export.export_custom_routes:
        return
    [network] = [one for one in topology.networks if one.full_name == owner]
    for route in bgp.learned(topology, call.plane.running, network, call.text("region") or None):
        yield {
            "destRange": route.destination,
            "type": "DYNAMIC_PEERING_ROUTE",
            "priority": route.priority,
            "imported": into.import_custom_routes,
            "nextHopRegion": route.region,
        }


def _connection(call: Call, record: Record, name: str) -> Record | None:
    """The private connection whose peering has a name."""
    found = peerings.connections(call.plane, record)
    return next((one for one in found if peerings.of_connection(one).peering.name == name), None)


def _of(record: Record) -> list[Json]:
    return list(record.body.get("peerings", ()))


def _named(record: Record, name: str) -> Json:
    """A peering by its name.

    Raises:
        NotFound: the network has no such peering.
    """
    for peering in _of(record):
        if peering["name"] == name:
            return peering
    message = f"network '{record.name}': it has no peering '{name}'"
    raise NotFound(message, reason="notFound")


def _change(call: Call, record: Record, changed: Sequence[Json], verb: str) -> Answer:
    body = {key: value for key, value in record.body.items() if key != "peerings"}
    return NETWORKS.submit(call, record, {**body, "peerings": list(changed)} if changed else body, verb)
