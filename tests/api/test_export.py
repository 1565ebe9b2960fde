"""What was made by API is exported as a file that makes it again."""

from __future__ import annotations

from pathlib import Path

from testbed.control.accept.plane import topology_of
from testbed.topology_export import export
from testbed.topology_file import parse
from tests.api.harness import Api

REGION = "projects/demo/locations/us-central1"
COMPUTE = "compute/v1/projects/demo"


def test_a_state_that_was_made_by_api(api: Api) -> None:
    api.post(f"{COMPUTE}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    subnet = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.128.0.0/20"}
    api.post(f"{COMPUTE}/regions/us-central1/subnetworks", subnet)
    rule = {"name": "web", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}
    api.post(f"{COMPUTE}/global/firewalls", {**rule, "description": "for the web", "priority": 5})
    connector = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    api.post(f"v1/{REGION}/connectors", connector, connectorId="c1")
    template = {"containers": [{"image": "testbed/runtime"}], "vpcAccess": {"connector": f"{REGION}/connectors/c1"}}
    for number in range(2):
        changed = {
            **template,
            "containers": [{"image": "testbed/runtime", "env": [{"name": "N", "value": f"{number}"}]}],
        }
        body = {"template": changed, "labels": {"env": "test"}}
        api.patch(f"v2/{REGION}/services/hello", body, allowMissing="true")
    cache = {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": "projects/demo/global/networks/vpc"}
    api.post(f"v1/{REGION}/instances", cache, instanceId="r1")
    known = topology_of(api.store)
    text = export(known)
    assert parse(text, "exported.yaml", Path()) == known
