"""What can be changed of an instance that is there.  Tags and addresses are the network's; the rest is kept."""

from __future__ import annotations

import time

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.calls.clock import compute_timestamp
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.instances import machine_types
from testbed.api.services.compute.instances.bodies import access_config, service_account
from testbed.api.services.compute.instances.instances import INSTANCES, metadata_fingerprint, tags_fingerprint
from testbed.control.accept.plane import not_ready
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json

STALE = "Supplied fingerprint does not match current metadata fingerprint."
NIC = "nic0"


def _changed(call: Call, record: Record, **fields: object) -> Answer:
    verb = call.method.action
    return INSTANCES.submit(call, record, {**record.body, **fields}, verb)


def _guard(given: object, current: str) -> None:
    """Refuse a change of what the caller has not seen as it is.

    Raises:
        FailedPrecondition: it has changed since, or the caller does not say what it has seen.
    """
    if given != current:
        raise FailedPrecondition(GoogleText(STALE), reason="conditionNotMet")


@serves(API, "instances.setTags")
def set_tags(call: Call) -> Answer:
    """Other network tags: other firewall rules apply."""
    record = INSTANCES.settled(call)
    _guard(call.body.get("fingerprint"), tags_fingerprint(record))
    return _changed(call, record, tags={"items": call.body.get("items", [])})


@serves(API, "instances.setMetadata")
def set_metadata(call: Call) -> Answer:
    """Other metadata, which the instance can read when the operation is done."""
    record = INSTANCES.settled(call)
    _guard(call.body.get("fingerprint"), metadata_fingerprint(record))
    return _changed(call, record, metadata={"items": call.body.get("items", [])})


@serves(API, "instances.setScheduling")
def set_scheduling(call: Call) -> Answer:
    """Another scheduling: nothing here migrates or preempts."""
    record = INSTANCES.settled(call)
    return _changed(call, record, scheduling={**record.body.get("scheduling", {}), **call.body})


@serves(API, "instances.setDeletionProtection")
def set_deletion_protection(call: Call) -> Answer:
    """Whether it can be deleted."""
    record = INSTANCES.settled(call, call.text("resource"))
    protected = call.text("deletionProtection", "true").lower() == "true"
    return _changed(call, record, deletionProtection=protected)


@serves(API, "instances.setServiceAccount")
def set_service_account(call: Call) -> Answer:
    """Another service account (or none): other firewall rules apply."""
    record = _stopped(call, "The instance must be stopped before the service account can be changed.")
    email = call.body.get("email", "")
    account: Json = {"email": service_account(email, call.text("project")), "scopes": call.body.get("scopes", [])}
    return _changed(call, record, serviceAccounts=[account] if email else [])


@serves(API, "instances.setMachineType")
def set_machine_type(call: Call) -> Answer:
    """Another machine type, by name only."""
    record = _stopped(call, "The instance must be stopped before the machine type can be changed.")
    given = call.body.get("machineType", "")
    return _changed(call, record, machineType=machine_types.reference(given, call.text("project"), call.text("zone")))


def _stopped(call: Call, otherwise: str) -> Record:
    record = INSTANCES.settled(call)
    if record.body.get("status") != "TERMINATED":
        raise FailedPrecondition(otherwise, reason="resourceNotReady")
    return record


# -- external addresses -----------------------------------------------------------------------------------------------


@serves(API, "instances.addAccessConfig")
def add_access_config(call: Call) -> Answer:
    """An external address."""
    record, nic = _nic(call)
    if nic.get("accessConfigs"):
        raise InvalidArgument(
            GoogleText(
                f"Invalid value for field 'resource': ''. At most one access config currently supported for network"
                f" interface '{NIC}'."
            )
        )
    return _changed(call, record, networkInterfaces=[{**nic, "accessConfigs": [access_config(call.body)]}])


@serves(API, "instances.deleteAccessConfig")
def delete_access_config(call: Call) -> Answer:
    """No external address."""
    record, nic = _nic(call)
    name = call.text("accessConfig")
    kept = [one for one in nic.get("accessConfigs", []) if one.get("name", "External NAT") != name]
    if kept == nic.get("accessConfigs", []):
        raise NotFound(f"instance '{record.name}': it has no access config '{name}'", reason="notFound")
    return _changed(call, record, networkInterfaces=[{**nic, "accessConfigs": kept}])


def _nic(call: Call) -> tuple[Record, Json]:
    """The instance and NIC that a call names.

    Raises:
        InvalidArgument: there is only one, and it is called otherwise.
    """
    record, name = INSTANCES.settled(call), call.text("networkInterface")
    if name != NIC:
        raise InvalidArgument(
            GoogleText(f"Invalid value for field 'networkInterface': '{name}'. Unknown network interface.")
        )
    return record, record.body["networkInterfaces"][0]


# -- power ------------------------------------------------------------------------------------------------------------


@serves(API, "instances.stop")
def stop(call: Call) -> Answer:
    """Without a node: it cannot be reached, and keeps its internal address."""
    record = INSTANCES.settled(call)
    return _changed(call, record, status="TERMINATED", lastStopTimestamp=compute_timestamp(time.time()))


@serves(API, "instances.start")
def start(call: Call) -> Answer:
    """With a node again."""
    record = INSTANCES.settled(call)
    body = {key: value for key, value in record.body.items() if key != "status"}
    body["lastStartTimestamp"] = compute_timestamp(time.time())
    return INSTANCES.submit(call, record, body, "start")


@serves(API, "instances.reset")
def reset(call: Call) -> Answer:
    """With a new node in the old one's place.

    Raises:
        FailedPrecondition: it does not run.
    """
    record = INSTANCES.settled(call)
    if record.body.get("status") == "TERMINATED":
        raise not_ready(record)
    body = {**record.body, "lastStartTimestamp": compute_timestamp(time.time())}
    changes = (ResourceChange(record.kind, record.name, INSTANCES.resolved(call, body, record.name)),)
    return call.plane.submit(INSTANCES.operation(call, record.name, changes, "reset", restarts=[record.name]))
