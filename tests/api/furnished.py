"""A project in which there is one of everything, for tests of all methods at once.

Most are called `a1`; of what becomes a node there are not two of a name in a testbed.
"""

from __future__ import annotations

from testbed.json_object import Json
from tests.api.harness import Api

NAME = "a1"
NAMES = (NAME, NAME, NAME, NAME, "c1", "s1", "r1", "v1", "b1", "x-1")
"""What a call may name, there or not."""
_GLOBAL = "compute/v1/projects/demo/global"
_REGION = "compute/v1/projects/demo/regions/us-central1"
_ZONE = "compute/v1/projects/demo/zones/us-central1-a"
_LOCATION = "projects/demo/locations/us-central1"
_NETWORK = "global/networks/a1"
_SUBNETWORK = "regions/us-central1/subnetworks/a1"
_NIC: Json = {
    "networkInterfaces": [{"subnetwork": _SUBNETWORK}],
    "disks": [{"boot": True, "initializeParams": {"sourceImage": "testbed/vm"}}],
    "machineType": "zones/us-central1-a/machineTypes/e2-micro",
}
_RULE: Json = {"priority": 80, "action": "goto_next", "match": {"layer4Configs": [{"ipProtocol": "tcp"}]}}

RESOURCES: tuple[tuple[str, Json], ...] = (
    (f"{_GLOBAL}/networks", {"name": NAME, "autoCreateSubnetworks": False}),
    (f"{_REGION}/subnetworks", {"name": NAME, "network": _NETWORK, "ipCidrRange": "10.1.0.0/24"}),
    (f"{_GLOBAL}/firewalls", {"name": NAME, "network": _NETWORK, "allowed": [{"IPProtocol": "tcp"}]}),
    *((f"{scope}/firewallPolicies", {"name": NAME, "rules": [_RULE]}) for scope in (_GLOBAL, _REGION)),
    (f"{_REGION}/firewallPolicies/{NAME}/addAssociation", {"name": NAME, "attachmentTarget": _NETWORK}),
    (f"{_ZONE}/instances", {"name": NAME, **_NIC}),
    (
        f"{_GLOBAL}/routes",
        {
            "name": NAME,
            "network": _NETWORK,
            "destRange": "192.168.0.0/16",
            "nextHopInstance": f"zones/us-central1-a/instances/{NAME}",
        },
    ),
    (f"{_REGION}/addresses", {"name": NAME}),
    (
        f"{_GLOBAL}/addresses",
        {"name": NAME, "purpose": "VPC_PEERING", "addressType": "INTERNAL", "prefixLength": 24, "network": _NETWORK},
    ),
    (f"{_REGION}/routers", {"name": NAME, "network": _NETWORK}),
    (f"{_REGION}/targetVpnGateways", {"name": "v1", "network": _NETWORK}),
    (f"{_REGION}/vpnGateways", {"name": NAME, "network": _NETWORK}),
    (f"{_GLOBAL}/instanceTemplates", {"name": NAME, "properties": _NIC}),
    (
        f"{_ZONE}/instanceGroupManagers",
        {
            "name": NAME,
            "baseInstanceName": "g",
            "targetSize": 1,
            "instanceTemplate": f"global/instanceTemplates/{NAME}",
        },
    ),
    (
        f"v1/{_LOCATION}/connectors?connectorId=c1",
        {"network": NAME, "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3},
    ),
    (f"v2/{_LOCATION}/services?serviceId=s1", {"template": {"containers": [{"image": "testbed/runtime"}]}}),
    (f"v2/{_LOCATION}/jobs?jobId={NAME}", {"template": {"template": {"containers": [{"image": "testbed/runtime"}]}}}),
    (
        f"v1/{_LOCATION}/instances?instanceId=r1",
        {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": f"projects/demo/{_NETWORK}"},
    ),
    ("dns/v1/projects/demo/managedZones", {"name": NAME, "dnsName": "a1.example.", "description": ""}),
    ("v1/projects/demo/serviceAccounts", {"accountId": "a1-account"}),
)


def furnish(api: Api) -> None:
    """Make one of everything."""
    for path, body in RESOURCES:
        where, _, query = path.partition("?")
        api.post(where, body, **dict([query.split("=")] if query else []))
        api.settle()
