"""Server policies, response policies (there are none) and the quotas of a project."""

from __future__ import annotations

from dataclasses import replace

from testbed.api.calls.call import Call, serves
from testbed.api.contract import masks
from testbed.api.services.dns import faults
from testbed.api.services.dns.base import API, POLICIES, named, network, number_of, page
from testbed.control.state.resources import Record
from testbed.json_object import Json
from testbed.model.core.names import COMPUTE_NAME
from testbed.model.core.projects import project_number

_ENTITY = "entity.policy"
_QUOTA = {
    "managedZones": 10000, "rrsetsPerManagedZone": 10000, "rrsetAdditionsPerChange": 1000,
    "rrsetDeletionsPerChange": 1000, "totalRrdataSizePerChange": 100000, "resourceRecordsPerRrset": 100,
    "dnsKeysPerManagedZone": 4, "networksPerManagedZone": 100, "managedZonesPerNetwork": 10000, "policies": 100,
    "networksPerPolicy": 100, "targetNameServersPerPolicy": 50, "targetNameServersPerManagedZone": 50,
}  # fmt: skip
"""Google's defaults (recalled); the testbed does not enforce them."""


@serves(API, "projects.get")
def project(call: Call) -> Json:
    """A project: any name is one."""
    name = call.text("project")
    quota = {"kind": "dns#quota", **_QUOTA}
    return {"kind": "dns#project", "id": name, "number": str(project_number(name)), "quota": quota}


@serves(API, "policies.create")
def create(call: Call) -> Json:
    """Make a policy."""
    body = _checked(call, call.body)
    name = f"projects/{call.text('project')}/policies/{body['name']}"
    if call.plane.find(POLICIES, name):
        raise faults.taken(_ENTITY, body["name"])
    return _view(call.plane.keep(Record(POLICIES, name, body)))


@serves(API, "policies.get")
def get(call: Call) -> Json:
    """One policy."""
    return _view(_policy(call))


@serves(API, "policies.list")
def list_(call: Call) -> Json:
    """The policies of a project."""
    found = call.plane.list(POLICIES, f"projects/{call.text('project')}/policies/")
    return {"kind": "dns#policiesListResponse", **page(call, map(_view, found), "policies")}


@serves(API, "policies.patch")
def patch(call: Call) -> Json:
    """Merge a body into a policy."""
    record = _policy(call)
    return _update(call, record, masks.merge(record.body, call.body))


@serves(API, "policies.update")
def update(call: Call) -> Json:
    """Put a body in the place of a policy's."""
    return _update(call, _policy(call), call.body)


@serves(API, "policies.delete")
def delete(call: Call) -> Json:
    """Delete a policy that is bound to no network.

    Raises:
        InvalidArgument: it is bound.
    """
    record = _policy(call)
    if record.body.get("networks"):
        raise faults.invalid("parameters.policy", record.id)
    call.plane.drop(POLICIES, record.name)
    return {}


@serves(API, "responsePolicies.list")
def response_policies(call: Call) -> Json:
    """No response policy can be made yet."""
    return page(call, [], "responsePolicies")


def _policy(call: Call) -> Record:
    return named(call, POLICIES, "policies", "policy")


def _update(call: Call, record: Record, given: Json) -> Json:
    body = _checked(call, {**given, "name": record.id})
    return {"policy": _view(call.plane.keep(replace(record, body=body)))}


def _view(record: Record) -> Json:
    return {"kind": "dns#policy", **record.body, "id": number_of(record)}


def _checked(call: Call, given: Json) -> Json:
    """A body as it is kept; its networks are there.

    Raises:
        InvalidArgument: there can be no such policy.
    """
    body = {key: value for key, value in given.items() if key not in {"kind", "id"}}
    if not COMPUTE_NAME.fullmatch(body.get("name", "")):
        raise faults.invalid(f"{_ENTITY}.name", body.get("name", ""))
    if "networks" in body:
        body["networks"] = [
            {
                "kind": "dns#policyNetwork",
                "networkUrl": network(call, one.get("networkUrl", ""), f"{_ENTITY}.networks[{index}].networkUrl"),
            }
            for index, one in enumerate(body["networks"])
        ]
    return body
