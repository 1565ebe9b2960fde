"""VPC Network Peering: both sides, each of them a part of its network (behaviour 4.5)."""

from __future__ import annotations

from testbed.api.calls.clock import compute_timestamp
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.json_object import Json
from testbed.model.compute.network import DEFAULT_MTU
from testbed.model.core.resource import Defaults, segment
from testbed.model.managed.private_services import PrivateConnection

KIND = "compute.networks"
CONNECTIONS = "servicenetworking.connections"
DEFAULTS: Json = {
    "autoCreateRoutes": True,
    "exchangeSubnetRoutes": True,
    "exportCustomRoutes": False,
    "importCustomRoutes": False,
    "exportSubnetRoutesWithPublicIp": True,
    "importSubnetRoutesWithPublicIp": False,
    "stackType": "IPV4_ONLY",
    "updateStrategy": "INDEPENDENT",
}
"""What Google fills in (behaviour 4.5.2)."""


def view(plane: ControlPlane, record: Record) -> list[Json]:
    """The peerings of a network with their states, which depend on the other side (behaviour 4.5.1)."""
    own = [_with_state(plane, record, peering) for peering in record.body.get("peerings", ())]
    return own + [_private(record, connection) for connection in connections(plane, record)]


def connections(plane: ControlPlane, record: Record) -> list[Record]:
    """The private connections of a network: each is a peering with a producer's network (behaviour 4.9.3)."""
    return [one for one in plane.list(CONNECTIONS, f"{record.name}/services/") if one.effective is not None]


def of_connection(connection: Record) -> PrivateConnection:
    """A private connection as packets know it."""
    known = Defaults(segment(connection.body["network"], "projects"), lenient=True)
    return PrivateConnection.model_validate(connection.body, context=known)


def _private(record: Record, connection: Record) -> Json:
    """The peering of a private connection: the producer's side is there as long as it is."""
    made = of_connection(connection).peering
    body = {**DEFAULTS, **made.model_dump(mode="json", by_alias=True)}
    return _shown(record, body, "ACTIVE") | {"peerMtu": record.body.get("mtu", DEFAULT_MTU)}


def _with_state(plane: ControlPlane, record: Record, peering: Json) -> Json:
    other = plane.find(KIND, peering["network"])
    theirs = other.body.get("peerings", ()) if other else ()
    active = any(one["network"] == record.name for one in theirs)
    result = _shown(record, peering, "ACTIVE" if active else "INACTIVE")
    if other is not None and active:
        result["peerMtu"] = other.body.get("mtu", DEFAULT_MTU)
    return result


def _shown(record: Record, peering: Json, state: str) -> Json:
    details = "Connected." if state == "ACTIVE" else "Waiting for peer network to connect."  # recalled
    return {
        **peering,
        "network": url(peering["network"]),
        "state": state,
        "stateDetails": f"[{compute_timestamp(record.updated)}]: {details}",
    }
