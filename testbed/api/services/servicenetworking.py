"""Service Networking v1: private connections between a network and Google's services (behaviour 4.9.3).

Redis instances are reached by those of Google's own service; any other's producer network stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.longrunning import EMPTY, LongRunning
from testbed.api.services.resourcemanager.ids import id_of
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import CODES, FailedPrecondition, GoogleText, InvalidArgument, NotFound
from testbed.fabric.allocation.keys import RangeKey
from testbed.json_object import Json
from testbed.model.core.projects import project_number
from testbed.model.core.resource import last, segment
from testbed.model.managed.private_services import GOOGLE

API = "servicenetworking.v1"
REDIS = "redis.instances"
KIND = "servicenetworking.connections"
NETWORKS = "compute.networks"
RANGES = "compute.globalAddresses"
EXCHANGED = frozenset({"exportCustomRoutes", "importCustomRoutes"})
MODIFIED = "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection."
"""What the creation of a connection that is there with other ranges ends with (terraform-provider-google 3294)."""
IN_USE = (
    "Failed to delete connection; Producer services (e.g. CloudSQL, Cloud Memstore, etc.) are still using this"
    " connection."
)
"""What a deletion ends with as long as there are instances (as users report it)."""
_NETWORK = re.compile(r"projects/([^/]+)/global/networks/([^/]+)")


@serves(API, "services.connections.create")
def create(call: Call) -> Answer:
    """Connect a network: the ranges are the network's own, set aside for services."""
    return _created(call, call.text("parent"))


def _created(call: Call, service: str) -> Answer:
    network = _network(call, call.body.get("network", ""))
    name, ranges = f"{network}/{service}", call.body.get("reservedPeeringRanges", [])
    known = call.plane.find(KIND, name)
    ranges = ranges or (known.body["reservedPeeringRanges"] if known else [])
    body = _body(call, network, service, ranges) | _flags(known)
    fails: Json = {}
    if known and known.body["reservedPeeringRanges"] != ranges:
        fails = {"fails": {"code": 9, "message": GoogleText(MODIFIED)}}
    changes = () if fails else (ResourceChange(KIND, name, body),)
    return call.plane.submit(call.operation(KIND, name, changes=changes, facts=fails))


@serves(API, "services.connections.patch")
def patch(call: Call) -> Answer:
    """Change the ranges of a connection; with force, one that is not there is made (as Terraform counts on).

    Raises:
        FailedPrecondition: one is taken away, without force; or an instance has an address of it (our choice).
    """
    if call.flag("force") and _found(call, call.body.get("network", "")) is None:
        return _created(call, _service(call))
    record, ranges = _connection(call, call.body.get("network", "")), call.body.get("reservedPeeringRanges", [])
    removed = set(record.body["reservedPeeringRanges"]) - set(ranges)
    if removed and not call.flag("force"):
        raise FailedPrecondition(
            f"allocated ranges {', '.join(sorted(removed))}: this would remove them; it needs the force flag"
        )
    for name in removed:
        if users := list(_users(call.plane, record, name)):
            raise FailedPrecondition(f"allocated range {name}: {users[0]} uses it")
    body = _body(call, record.body["network"], record.body["service"], ranges) | _flags(record)
    return call.plane.submit(call.operation(KIND, record.name, changes=(ResourceChange(KIND, record.name, body),)))


@serves(API, "services.connections.deleteConnection")
def delete(call: Call) -> Answer:
    """Take a connection away that no instance uses."""
    record = _connection(call, call.body.get("consumerNetwork", ""))
    used = any(_users(call.plane, record))
    fails: Json = {"fails": {"code": CODES["FAILED_PRECONDITION"], "message": GoogleText(IN_USE)}} if used else {}
    changes = () if used else (ResourceChange(KIND, record.name, None),)
    return call.plane.submit(call.operation(KIND, record.name, changes=changes, facts=fails))


@serves(API, "services.connections.list")
def list_(call: Call) -> Json:
    """The connections of a network, to one service or (`-`) to all."""
    network, service = _network(call, call.text("network")), call.text("parent")
    found = [
        view(call.plane, record)
        for record in call.plane.list(KIND, f"{network}/services/")
        if service in {"services/-", record.body["service"]}
    ]
    return {"connections": found} if found else {}


def view(_: ControlPlane, record: Record) -> Json:
    """A connection as the API prints it: its network is named by its project's number."""
    body = record.body
    project = segment(body["network"], "projects")
    return {
        "network": body["network"].replace(project, str(project_number(project)), 1),
        "service": body["service"],
        "peering": last(body["service"]).replace(".", "-"),
        "reservedPeeringRanges": body["reservedPeeringRanges"],
    }


def _network(call: Call, given: str) -> str:
    """The full name of a network that is there.

    Raises:
        InvalidArgument: it is no name of one.
        NotFound: there is none.
    """
    match = _NETWORK.fullmatch(given)
    if match is None:
        raise InvalidArgument(
            f"network '{given}': must be of the form projects/{{project}}/global/networks/{{network}}"
        )
    return call.plane.get(NETWORKS, f"projects/{id_of(call.plane, match[1])}/global/networks/{match[2]}").name


def _body(call: Call, network: str, service: str, ranges: list[str]) -> Json:
    """A connection as it is kept.

    Raises:
        InvalidArgument: a range is not one that is set aside in the network, or none is given.
    """
    if not ranges:
        raise InvalidArgument("reservedPeeringRanges: must have at least one allocated range")
    for name in ranges:
        record = call.plane.find(RANGES, f"{_addresses(network)}/{name}")
        if record is None or record.body.get("purpose") != "VPC_PEERING" or record.body.get("network") != network:
            raise InvalidArgument(f"allocated range '{name}': it is not a range of {network} for VPC_PEERING")
    return {"network": network, "service": service, "reservedPeeringRanges": ranges}


def _flags(record: Record | None) -> Json:
    """Whether the network's side of the peering exchanges custom routes (`compute.networks.updatePeering`)."""
    return {key: value for key, value in record.body.items() if key in EXCHANGED} if record else {}


def _users(plane: ControlPlane, record: Record, name: str | None = None) -> Iterator[str]:
    """The instances behind a connection: all of them, or those with an address of one of its ranges."""
    cidr = plane.get(RANGES, f"{_addresses(record.body['network'])}/{name}").body if name else None
    for redis in plane.list(REDIS):
        private = redis.body.get("connectMode") == "PRIVATE_SERVICE_ACCESS"
        if private and f"{redis.body['authorizedNetwork']}/{GOOGLE}" == record.name:
            has = plane.running.allocations.ranges.get(RangeKey.redis(redis.name))
            inside = (
                cidr and has and IPv4Network(has).subnet_of(IPv4Network(f"{cidr['address']}/{cidr['prefixLength']}"))
            )
            if cidr is None or inside or redis.body.get("reservedIpRange") == name:
                yield redis.name


def _addresses(network: str) -> str:
    return f"projects/{segment(network, 'projects')}/global/addresses"


def _service(call: Call) -> str:
    """The service of the connection that a path names: `services/servicenetworking.googleapis.com`."""
    return "/".join(call.text("name").split("/")[:2])


def _found(call: Call, network: str) -> Record | None:
    return call.plane.find(KIND, f"{_network(call, network)}/{_service(call)}")


def _connection(call: Call, network: str) -> Record:
    """The connection of a network that a path names; for its own name, `-` is taken as well.

    Raises:
        NotFound: there is none.
    """
    if record := _found(call, network):
        return record
    raise NotFound(f"connection '{call.text('name')}' of {network}: not found", reason="notFound")


PRINTERS[API] = LongRunning(
    metadata_type=EMPTY,
    metadata=lambda _: {},
    response_type="google.cloud.servicenetworking.v1.Connection",
    view=view,
    parent=lambda _: "",
)
