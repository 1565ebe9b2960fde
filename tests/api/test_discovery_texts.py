"""What the discovery documents say of fields in words: which are output only, and what they are by default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from testbed.api.contract.discovery import Document, document
from testbed.api.contract.schema import is_output
from testbed.json_object import Json
from tests.api import test_appengine, test_functions_v1, test_functions_v2
from tests.api.furnished import RESOURCES
from tests.api.harness import HOST, Api, Refused

_DEFAULT = re.compile(
    r"by default|default value|defaults? (?:is|to|of)|the default"
    r"|if (?:this field is |it is |this is )?(?:unspecified|not specified|not set|unset|omitted|not provided|empty)",
    re.IGNORECASE,
)
ABSENT, ZERO = "that it is absent is the default", "false and 0 are not printed"
ASKED, UNSEEN = "a template keeps what was asked for", "answers of Google's that are public do not have it"
ELSEWHERE = "it belongs to what this resource is not, or what it was not asked for"
UNSAID: Mapping[str, Mapping[str, str]] = {
    "compute.v1": {
        **dict.fromkeys(("Firewall.allowed.ports", "FirewallPolicyRuleMatcherLayer4Config.ports"), ABSENT),
        **dict.fromkeys(("Instance.hostname", "NetworkInterface.queueCount", "Subnetwork.enableFlowLogs"), ABSENT),
        **dict.fromkeys(
            (
                "AttachedDisk.interface",
                "AttachedDiskInitializeParams.diskName",
                "AttachedDiskInitializeParams.diskSizeGb",
                "AttachedDiskInitializeParams.diskType",
                "NetworkInterface.network",
                "NetworkInterface.networkIP",
                "NetworkInterface.stackType",
            ),
            ASKED,
        ),
        **dict.fromkeys(
            (
                "Disk.accessMode",
                "FirewallPolicy.policySource",
                "FirewallPolicyRule.targetType",
                "Instance.keyRevocationActionType",
                "Instance.privateIpv6GoogleAccess",
                "InstanceProperties.keyRevocationActionType",
                "InstanceProperties.privateIpv6GoogleAccess",
                "Network.mtu",
                "RouterNat.icmpIdleTimeoutSec",
                "RouterNat.tcpEstablishedIdleTimeoutSec",
                "RouterNat.tcpTimeWaitTimeoutSec",
                "RouterNat.tcpTransitoryIdleTimeoutSec",
                "RouterNat.udpIdleTimeoutSec",
                "Scheduling.localSsdRecoveryTimeout",
                "Scheduling.skipGuestOsShutdown",
            ),
            UNSEEN,
        ),
        **dict.fromkeys(
            (
                "ForwardingRule.IPAddresses",
                "ForwardingRule.network",
                "InterconnectAttachment.edgeAvailabilityDomain",
                "InterconnectAttachment.ipsecInternalAddresses",
                "InterconnectAttachment.subnetLength",
                "NetworkInterface.ipv6Address",
                "RouterNat.enableDynamicPortAllocation",
                "RouterNat.sourceSubnetworkIpRangesToNat64",
                "Scheduling.hostErrorTimeoutSeconds",
                "Scheduling.preemptionNoticeDuration",
            ),
            ELSEWHERE,
        ),
    },
    "run.v2": {
        **dict.fromkeys((f"GoogleCloudRunV2Container.{name}" for name in ("args", "command", "workingDir")), ABSENT),
        "GoogleCloudRunV2Container.ports": ELSEWHERE,
        "GoogleCloudRunV2Probe.initialDelaySeconds": ZERO,
        "GoogleCloudRunV2ResourceRequirements.cpuIdle": ELSEWHERE,
        "GoogleCloudRunV2RevisionTemplate.revision": ABSENT,
        "GoogleCloudRunV2Service.defaultUriDisabled": ZERO,
    },
    "run.v1": {
        **dict.fromkeys((f"Container.{name}" for name in ("args", "command", "workingDir")), ABSENT),
        **dict.fromkeys((f"Container.{name}" for name in ("imagePullPolicy", "terminationMessagePath")), UNSEEN),
        "Container.terminationMessagePolicy": UNSEEN,
        "ContainerPort.protocol": UNSEEN,
        "ObjectMeta.generateName": ABSENT,
        "ObjectMeta.name": ABSENT,
        "Probe.initialDelaySeconds": ZERO,
        "ResourceRequirements.requests": UNSEEN,
    },
    "redis.v1": {
        "Instance.authEnabled": ZERO,
        "Instance.maintenancePolicy": ABSENT,
        "Instance.replicaCount": ZERO,
        "PersistenceConfig.rdbSnapshotPeriod": ELSEWHERE,
        "PersistenceConfig.rdbSnapshotStartTime": ELSEWHERE,
    },
    "dns.v1": {"ManagedZoneCloudLoggingConfig.enableLogging": ZERO, "Policy.enableLogging": ZERO},
    "networkmanagement.v1": {"ConnectivityTest.bypassFirewallChecks": ZERO, "ConnectivityTest.roundTrip": ZERO},
    "cloudfunctions.v2": {
        "ServiceConfig.directVpcEgress": ELSEWHERE,
        "ServiceConfig.minInstanceCount": ZERO,
        "ServiceConfig.securityLevel": ELSEWHERE,
    },
    "cloudfunctions.v1": {"CloudFunction.dockerRepository": ELSEWHERE},
    "appengine.v1": dict.fromkeys(
        (f"{name}.generatedCustomerMetadata" for name in ("Application", "Version")), ELSEWHERE
    ),
}
"""Fields that are absent from an answer, though their text has a default, by API and with the reason."""

_PROJECT = "compute/v1/projects/demo"
_REGION = f"{_PROJECT}/regions/us-central1"
_NETWORK = f"https://www.googleapis.com/{_PROJECT}/global/networks/a1"
_US = "regions/us-central1"
RUN_V1 = "us-central1-run.googleapis.com"
MORE: tuple[tuple[str, Json], ...] = (
    (
        f"{_PROJECT}/global/externalVpnGateways",
        {
            "name": "e1",
            "redundancyType": "SINGLE_IP_INTERNALLY_REDUNDANT",
            "interfaces": [{"id": 0, "ipAddress": "203.0.113.77"}],
        },
    ),
    (
        f"{_REGION}/routers",
        {
            "name": "r2",
            "network": _NETWORK,
            "bgp": {"asn": 64512},
            "nats": [{"name": "n"}],
            "bgpPeers": [{"name": "p", "peerAsn": 65001, "ipAddress": "169.254.0.1", "peerIpAddress": "169.254.0.2"}],
        },
    ),
    (
        f"{_REGION}/vpnTunnels",
        {
            "name": "t1",
            "vpnGateway": f"{_US}/vpnGateways/a1",
            "vpnGatewayInterface": 0,
            "peerExternalGateway": "global/externalVpnGateways/e1",
            "peerExternalGatewayInterface": 0,
            "router": f"{_US}/routers/r2",
            "sharedSecret": "secret-secret",
        },
    ),
    (f"{_REGION}/interconnectAttachments", {"name": "ia", "router": f"{_US}/routers/a1"}),
    (f"{_PROJECT}/zones/us-central1-a/disks", {"name": "d1", "sizeGb": "10"}),
    (f"{_PROJECT}/zones/us-central1-a/instanceGroups", {"name": "g9"}),
    (
        f"{_REGION}/subnetworks",
        {"name": "logged", "network": _NETWORK, "ipCidrRange": "10.2.0.0/24", "logConfig": {"enable": True}},
    ),
    ("dns/v1/projects/demo/policies", {"name": "pol", "networks": [{"networkUrl": _NETWORK}]}),
    (
        "dns/v1/projects/demo/managedZones",
        {
            "name": "priv",
            "dnsName": "p.example.",
            "description": "",
            "visibility": "private",
            "privateVisibilityConfig": {"networks": [{"networkUrl": _NETWORK}]},
        },
    ),
    (
        "v1/projects/demo/locations/global/connectivityTests?testId=t1",
        {"source": {"ipAddress": "10.0.0.2"}, "destination": {"ipAddress": "10.0.0.3", "port": 80}},
    ),
    ("v1/apps", {"id": "demo", "locationId": "us-central"}),
    (
        "apis/serving.knative.dev/v1/namespaces/demo/services",
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "kn"},
            "spec": {"template": {"spec": {"containers": [{"image": "testbed/runtime"}]}}},
        },
    ),
)
"""Beyond what `furnished` has."""


@dataclass(frozen=True)
class Made:
    """A resource: how it is made, and where it is read."""

    where: str
    body: Json
    query: Mapping[str, str]

    @property
    def place(self) -> str:
        account = f"{self.body['accountId']}@demo.iam.gserviceaccount.com" if "accountId" in self.body else ""
        named = next(iter(self.query.values()), "") or self.body.get("name") or self.body.get("id")
        name = account or named or self.body["metadata"]["name"]
        return f"{self.where}/{str(name).rpartition('/')[2]}"

    @property
    def host(self) -> str:
        return RUN_V1 if self.where.startswith("apis/") else HOST


def resources(api: Api) -> Iterator[Made]:
    """One of everything; each is asked for after the previous one has been made."""
    for path, body in (*RESOURCES, *MORE):
        where, _, query = path.partition("?")
        yield Made(where, body, dict([query.split("=")] if query else []))
    address = Made(f"{_REGION}/addresses", {"name": "a7"}, {})
    yield address
    rule = {"name": "f1", "IPProtocol": "ESP", "IPAddress": api.get(address.place)["address"]}
    yield Made(f"{_REGION}/forwardingRules", {**rule, "target": f"{_US}/targetVpnGateways/v1"}, {})
    yield Made(test_functions_v2.FUNCTIONS, test_functions_v2.body(api), {"functionId": "second"})
    yield Made(test_functions_v1.FUNCTIONS, test_functions_v1.body(api), {})
    yield Made(test_appengine.VERSIONS, test_appengine.version(api), {})


@pytest.mark.behaviour("5.5.1")
def test_what_is_output_only_is_not_taken_from_a_request(api: Api) -> None:
    forged = {}
    for made in resources(api):
        method = api.dispatcher.router.find("POST", made.where, None)
        assert method is not None
        schemas = document(method.method.api).schemas
        body = _forged(schemas, schemas[str(method.method.request)], made.body)
        forged[made.where] = _leaves(body, FORGED)
        api.call("POST", made.where, body, host=made.host, **made.query)
        api.settle()
        if not made.where.endswith("addAssociation"):
            shown = api.call("GET", made.place, host=made.host)
            assert not _leaves(shown, FORGED), made.where
    assert sum(forged.values()) > 100


@pytest.mark.behaviour("5.5.2", "5.5.3", "5.5.4", "5.5.5", "5.5.6")
def test_documented_defaults_are_answered(api: Api) -> None:
    unsaid: set[str] = set()
    for made in resources(api):
        api.call("POST", made.where, made.body, host=made.host, **made.query)
        api.settle()
        if made.where.endswith("addAssociation"):
            continue
        found = api.dispatcher.router.find("GET", made.place, None)
        assert found is not None
        shown = api.call("GET", made.place, host=made.host)
        known = document(found.method.api)
        unsaid |= {f"{known.api} {field}" for field in _unsaid(known, str(found.method.response), shown)}
    assert unsaid == {f"{name} {field}" for name, fields in UNSAID.items() for field in fields}


def test_a_function_has_processors_by_its_memory(api: Api) -> None:
    shown = {}
    for memory in ("128Mi", "512M", "600M", "1Gi", "4G"):
        name = f"f{memory.lower()}"
        body = test_functions_v2.body(api, availableMemory=memory)
        api.post(test_functions_v2.FUNCTIONS, body, functionId=name)
        shown[memory] = api.get(f"{test_functions_v2.FUNCTIONS}/{name}")["serviceConfig"]["availableCpu"]
    with pytest.raises(Refused, match="memory 'much': it is not a quantity"):
        api.post(test_functions_v2.FUNCTIONS, test_functions_v2.body(api, availableMemory="much"), functionId="much")
    with pytest.raises(Refused, match="not found"):
        api.get(f"{test_functions_v2.FUNCTIONS}/much")
    assert shown == {"128Mi": "0.0833", "512M": "0.3333", "600M": "0.5833", "1Gi": "0.5833", "4G": "2"}


FORGED = "forged"


def _forged(schemas: Mapping[str, Json], schema: Json, value: Any) -> Any:
    """A message with something forged in each field that is output only, wherever it has such fields."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if isinstance(value, list):
        return [_forged(schemas, schema["items"], one) for one in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            result[name] = _forged(schemas, inner, value[name])
        elif is_output(inner) and (made := _forgery(schemas, inner, 0)) is not None:
            result[name] = made
    return result


def _forgery(schemas: Mapping[str, Json], schema: Json, depth: int) -> Any:
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if depth > 3:
        return None
    if schema.get("type") == "array":
        inner = _forgery(schemas, schema["items"], depth + 1)
        return None if inner is None else [inner]
    if schema.get("type") == "object":
        made = {name: _forgery(schemas, inner, depth + 1) for name, inner in schema.get("properties", {}).items()}
        return {name: value for name, value in made.items() if value is not None} or None
    return FORGED if schema.get("type") == "string" else None


def _leaves(value: Any, wanted: str) -> int:
    if isinstance(value, dict):
        return sum(_leaves(inner, wanted) for inner in value.values())
    return sum(_leaves(inner, wanted) for inner in value) if isinstance(value, list) else int(value == wanted)


def _unsaid(known: Document, name: str, value: Any) -> Iterator[str]:
    """The fields with a documented default that an answer does not have, in all messages that it has."""
    yield from _unsaid_in(known, name, {"$ref": name}, value)


def _unsaid_in(known: Document, where: str, schema: Json, value: Any) -> Iterator[str]:
    if "$ref" in schema:
        where, schema = schema["$ref"], known.schemas[schema["$ref"]]
    if isinstance(value, list):
        for one in value:
            yield from _unsaid_in(known, where, schema.get("items", {}), one)
    elif isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _unsaid_in(known, f"{where}.{name}", inner, value[name])
            elif _DEFAULT.search(inner.get("description", "")) and not is_output(inner):
                yield f"{where}.{name}"
