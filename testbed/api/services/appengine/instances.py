"""App Engine: the instances of a version, as far as it runs."""

from __future__ import annotations

from testbed.api.calls.call import Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.services.appengine import services
from testbed.api.services.appengine.names import API, VERSIONS, found, page, service_name, version_name
from testbed.control.state.resources import Record, model
from testbed.errors import NotFound
from testbed.fabric.allocation.keys import AddressKey, ContainerInstance
from testbed.json_object import Json
from testbed.model.serverless.appengine import Version


@serves(API, "apps.services.versions.instances.list")
def list_(call: Call) -> Json:
    """The instances of a version: none if it is stopped or gets no traffic."""
    name = version_name(call)
    return page(call, "instances", _instances(call, found(call, VERSIONS, name)), name)


@serves(API, "apps.services.versions.instances.get")
def get(call: Call) -> Json:
    """One instance."""
    given = call.text("instancesId")
    for instance in _instances(call, found(call, VERSIONS, version_name(call))):
        if instance["id"] == given:
            return instance
    raise NotFound(f"instance '{given}': not found", reason="notFound")


def _instances(call: Call, record: Record) -> list[Json]:
    version = model(VERSIONS, record.effective or record.body, call.plane.general)
    assert isinstance(version, Version)  # noqa: S101 - by its kind
    serves_traffic = services.serving(call.plane, service_name(call)) == record.id
    if record.effective is None or version.serving_status == "STOPPED" or not serves_traffic:
        return []
    return [_view(call, record, version, index) for index in range(version.instances)]


def _view(call: Call, record: Record, version: Version, index: int) -> Json:
    name = f"{version.id}-{index + 1}"
    shown: Json = {
        "name": f"{record.name}/instances/{name}",
        "id": name,
        "startTime": timestamp(record.updated),
        "availability": "RESIDENT" if version.manual_scaling else "DYNAMIC",
    }
    if version.env == "flexible":
        shown |= {"vmName": name, "vmStatus": "RUNNING"}
        key = AddressKey.interface(ContainerInstance(record.name, index))
        if address := call.plane.running.allocations.addresses.get(key):
            shown["vmIp"] = address
    return shown
