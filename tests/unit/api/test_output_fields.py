"""Which fields are the server's: discovery documents say it in the descriptions of fields, in several ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from testbed.api import services
from testbed.api.calls.call import HANDLERS
from testbed.api.contract.discovery import APIS, Document, document
from testbed.api.contract.schema import is_output
from testbed.json_object import Json

_SAID = re.compile(r"output[ -]?only|(?<!volume as )\bread-only\b|ignored on input|server-defined", re.IGNORECASE)
NOT_THE_SERVERS = {
    "DiskInstantiationConfig.instantiateFrom": "it speaks of disks that are read-only",
    "ExecutionReference.deletionTimestamp": "no request has an execution's reference that is the caller's",
    "FirewallPolicy.name": "of organizations' policies only",
    "ForwardingRule.name": "of some rules of load balancers only",
    "InterconnectAttachment.bandwidth": "of attachments of type PARTNER only",
    "InterconnectAttachment.pairingKey": "of attachments of type PARTNER only",
    "InterconnectAttachment.partnerAsn": "of attachments of type PARTNER only",
    "InterconnectAttachment.partnerMetadata": "of attachments of type PARTNER only",
    "PreservedStatePreservedDisk.autoDelete": "it speaks of disks that are read-only",
    "Project.projectId": "the caller gives it when the project is made",
    "Service.metadata": "it speaks of annotations that are the server's",
    "SourceInstanceParams.diskConfigs": "it speaks of disks that are read-only",
    "StatefulPolicyPreservedStateDiskDevice.autoDelete": "it speaks of disks that are read-only",
    "VpnTunnel.localTrafficSelector": "of tunnels of HA VPN only",
    "VpnTunnel.remoteTrafficSelector": "of tunnels of HA VPN only",
    "VolumeMount.readOnly": "it says how to mount",
}
"""Fields whose descriptions use the words, but which a caller gives."""


@pytest.mark.parametrize("api", APIS)
def test_each_field_that_is_said_to_be_the_servers_is_dropped_from_requests(api: str) -> None:
    found = dict(_fields_of_requests(api))
    said = {name for name, schema in found.items() if _SAID.search(schema.get("description", ""))}
    assert {name for name in said if not is_output(found[name])} <= NOT_THE_SERVERS.keys()
    assert not [name for name in NOT_THE_SERVERS if name in found and is_output(found[name])]


@pytest.mark.parametrize(
    ("api", "schema", "fields"),
    [
        ("appengine.v1", "Version", {"name", "createdBy", "createTime", "versionUrl"}),
        ("dns.v1", "ManagedZone", {"id", "creationTime", "nameServers"}),
        ("dns.v1", "Change", {"id", "startTime", "status"}),
        ("cloudresourcemanager.v1", "Project", {"createTime", "lifecycleState", "projectNumber"}),
        ("compute.v1", "Network", {"id", "creationTimestamp", "selfLink", "subnetworks", "peerings"}),
    ],
)
def test_the_fields_that_are_the_servers(api: str, schema: str, fields: set[str]) -> None:
    properties = document(api).schemas[schema]["properties"]
    assert fields <= {name for name, field in properties.items() if is_output(field)}


def _fields_of_requests(api: str) -> Iterator[tuple[str, Json]]:
    """Each field that a request of a method which is served may have, `Schema.field`."""
    services.register_all()
    found, seen = document(api), set[str]()
    for method in found.methods:
        if method.request and (api, method.id.partition(".")[2]) in HANDLERS:
            yield from _fields(found, method.request, seen)


def _fields(of: Document, name: str, seen: set[str]) -> Iterator[tuple[str, Json]]:
    if name in seen:
        return
    seen.add(name)
    for field, schema in of.schemas[name].get("properties", {}).items():
        yield f"{name}.{field}", schema
        for other in _references(schema):
            yield from _fields(of, other, seen)


def _references(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"]
    more = (schema.get("items"), schema.get("additionalProperties"), *schema.get("properties", {}).values())
    for inner in more:
        if isinstance(inner, dict):
            yield from _references(inner)
