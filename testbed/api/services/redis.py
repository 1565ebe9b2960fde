"""Memorystore for Redis v1: instances (behaviour 4.9).

They have one node, so what needs a replica, a bucket or another version of Redis is refused.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import LongRunning, common_metadata
from testbed.api.contract import masks
from testbed.api.contract.errors import bad_request
from testbed.api.services import located
from testbed.api.services.resourcemanager.ids import id_of
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import CODES, FailedPrecondition, GoogleText, InvalidArgument
from testbed.fabric.allocation.addressing import redis_host
from testbed.fabric.allocation.keys import RangeKey
from testbed.json_object import Json
from testbed.model.core.places import zones
from testbed.model.core.projects import project_number
from testbed.model.core.resource import segment
from testbed.model.managed.private_services import GOOGLE
from testbed.model.managed.redis import PORT, TLS_PORT
from testbed.model.rules.private_services import NOT_ENABLED, OTHER_PROJECT

API = "redis.v1"
KIND = "redis.instances"
NETWORKS = "compute.networks"
CONNECTIONS = "servicenetworking.connections"
MUTABLE = frozenset({"displayName", "labels", "memorySizeGb", "redisConfigs", "authEnabled", "maintenancePolicy"})
"""What an update may change, of what is built."""
_ID = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_NETWORK = re.compile(r"projects/([^/]+)/global/networks/[^/]+")


@serves(API, "projects.locations.instances.create")
def create(call: Call) -> Answer:
    """Accept an instance; its node, its producer network and the peering come with the operation."""
    parent = call.text("parent")
    located.region_of(parent)
    given = call.text("instanceId")
    if not _ID.fullmatch(given):
        raise InvalidArgument(
            f"instance_id '{given}': must have 1-40 lower-case letters, digits and hyphens."
            " It must begin with a letter and end with a letter or a digit"
        )
    name = located.unused(call, KIND, f"{parent}/instances/{given}")
    if "memorySizeGb" not in call.body:
        raise InvalidResource(("memorySizeGb",), None, "memorySizeGb must be given")
    project = segment(name, "projects")
    network = call.body.get("authorizedNetwork") or f"projects/{project}/global/networks/default"
    private = call.body.get("connectMode") == "PRIVATE_SERVICE_ACCESS"
    full = _known(call, network, project, shared=private)
    fails: Json = {}
    connection = call.plane.find(CONNECTIONS, f"{full}/{GOOGLE}")
    if private and (connection is None or call.plane.phase(connection) == "CREATING"):
        fails = {"fails": {"code": CODES["FAILED_PRECONDITION"], "message": GoogleText(NOT_ENABLED)}}
    return _submit(call, name, {**call.body, "name": name, "authorizedNetwork": full}, fails)


@serves(API, "projects.locations.instances.patch")
def patch(call: Call) -> Answer:
    """Change an instance.  New settings are a restart of its server, which keeps its data."""
    record = located.found(call, KIND)
    if record.pending:
        raise FailedPrecondition(f"instance {record.name}: another operation is changing it; try again")
    mask = masks.paths(call.text("updateMask"))
    if not mask:
        raise InvalidArgument("update_mask: must have at least one path")
    body = masks.apply(record.body, call.body, mask, known=lambda path: path.split(".")[0] in MUTABLE)
    return _submit(call, record.name, body)


@serves(API, "projects.locations.instances.delete")
def delete(call: Call) -> Answer:
    """Delete an instance, with all that is in it."""
    record = located.found(call, KIND)
    return call.plane.submit(call.operation(KIND, record.name, changes=(ResourceChange(KIND, record.name, None),)))


@serves(API, "projects.locations.instances.get")
def get(call: Call) -> Json:
    """One instance."""
    return view(call.plane, located.found(call, KIND))


@serves(API, "projects.locations.instances.list")
def list_(call: Call) -> Json:
    """The instances of a region, or (`-`) of all."""
    return located.listed(call, KIND, "instances", lambda record: view(call.plane, record))


@serves(API, "projects.locations.instances.getAuthString")
def auth_string(call: Call) -> Json:
    """The password; empty if AUTH is disabled ("Result is empty", gcloud)."""
    record = located.found(call, KIND)
    known = call.plane.running.auth_strings.get(record.name)
    return {"authString": known} if known and record.body.get("authEnabled") else {}


@serves(API, "projects.locations.instances.failover")
def failover(call: Call) -> Answer:
    """Refuse a failover: only a standard tier instance has something to fail over to."""
    record = located.found(call, KIND)
    raise FailedPrecondition(f"instance {record.name}: it has tier BASIC, and a failover needs tier STANDARD_HA")


@serves(API, "projects.locations.get")
def location(call: Call) -> Json:
    """One region."""
    project, _, region = call.text("name").partition("/locations/")
    return located.location(project, located.region_of(f"locations/{region}"))


def _submit(call: Call, name: str, body: Json, fails: Json | None = None) -> Answer:
    """Accept a body, with what its operation is known to end with.

    Raises:
        InvalidArgument: Google, or what is built, has no such instance.
    """
    if body.get("persistenceConfig", {}).get("persistenceMode", "DISABLED") != "DISABLED":
        raise InvalidResource(("persistenceConfig",), None, "persistence is not built yet")
    region = segment(name, "locations")
    if (zone := body.get("locationId")) and zone not in zones(region):
        raise InvalidResource(("locationId",), zone, f"{zone} is not a zone of {region}")
    settled = {
        key: value for key, value in body.items() if not (isinstance(value, str) and value.endswith("_UNSPECIFIED"))
    }
    resolved = call.plane.resolve(KIND, settled, call.scope(segment(name, "projects"), region=region))
    changes = () if fails else (ResourceChange(KIND, name, resolved),)
    return call.plane.submit(call.operation(KIND, name, changes=changes, facts=fails or {}))


def _known(call: Call, network: str, project: str, *, shared: bool) -> str:
    """A network that an instance can be authorized for: of another project only with a private connection (4.9.6).

    Raises:
        InvalidResource: in Google's words, as users have reported them (terraform-provider-google 1571,
            terraform-google-memorystore 29 and 107).
    """
    try:
        return _authorized(call, network, project, shared=shared)
    except InvalidResource as error:
        error.details = (bad_request("instance.authorized_network", f"Invalid value: {network}"),)
        raise


def _authorized(call: Call, network: str, project: str, *, shared: bool) -> str:
    path = ("instance", "authorized_network")
    match = _NETWORK.fullmatch(network)
    if match is None:
        text = "invalid authorized_network format, value should be full path to network resource"
        raise InvalidResource(path, network, GoogleText(text))
    owner = id_of(call.plane, match[1])
    if owner != project and not shared:
        raise InvalidResource(path, network, GoogleText(OTHER_PROJECT))
    full = f"projects/{owner}/global/networks/{network.rpartition('/')[2]}"
    if call.plane.find(NETWORKS, full) is None:
        raise InvalidResource(
            path, network, GoogleText("Network name is not valid. Specify a valid name and try again.")
        )
    return full


def view(plane: ControlPlane, record: Record) -> Json:
    """An instance as the API prints it."""
    body, region = record.body, segment(record.name, "locations")
    zone = body.get("locationId") or zones(region)[0]
    project = segment(record.name, "projects")
    result: Json = {
        "tier": "BASIC",
        "connectMode": "DIRECT_PEERING",
        "transitEncryptionMode": "DISABLED",
        "readReplicasMode": "READ_REPLICAS_DISABLED",
        "redisVersion": "REDIS_7_0",
        "memorySizeGb": 1,
        "persistenceConfig": {"persistenceMode": "DISABLED"},
        **body,
        "name": record.name,
        "locationId": zone,
        "currentLocationId": zone,
        "createTime": timestamp(record.created),
        "nodes": [{"id": "node-0", "zone": zone}],
        "state": plane.phase(record) or "READY",
        "persistenceIamIdentity": (
            f"serviceAccount:service-{project_number(project)}@cloud-redis.iam.gserviceaccount.com"
        ),
    }
    running, encrypted = plane.running, result["transitEncryptionMode"] == "SERVER_AUTHENTICATION"
    if cidr := running.allocations.ranges.get(RangeKey.redis(record.name)):
        result |= {"reservedIpRange": cidr, "host": redis_host(cidr), "port": TLS_PORT if encrypted else PORT}
    if encrypted and (shown := running.certificates.get(record.name)):
        result["serverCaCerts"] = [_certificate(shown.ca)]
    return result


def _certificate(pem: str) -> Json:
    """A CA's certificate, and what it says of itself."""
    made = x509.load_pem_x509_certificate(pem.encode())
    return {
        "serialNumber": str(made.serial_number),
        "cert": pem,
        "sha1Fingerprint": made.fingerprint(SHA1()).hex(),  # noqa: S303 - Google's field
        "createTime": timestamp(made.not_valid_before_utc.timestamp()),
        "expireTime": timestamp(made.not_valid_after_utc.timestamp()),
    }


PRINTERS[API] = LongRunning(
    metadata_type="google.cloud.redis.v1.OperationMetadata",
    metadata=common_metadata,
    response_type="google.cloud.redis.v1.Instance",
    view=view,
)
