"""Short names are a resource's own: what else of a project is called so does not matter to anybody."""

from __future__ import annotations

from tests.api.harness import Api
from tests.api.test_compute_instances import ZONE
from tests.api.test_compute_instances import body as vm
from tests.api.test_run_services import SERVICES
from tests.api.test_run_services import body as service

PROJECT = "compute/v1/projects/demo"
REDIS = "v1/projects/demo/locations/us-central1/instances"
NETWORK = "projects/demo/global/networks/vpc"


def nodes(api: Api) -> dict[str, str]:
    """The nodes that there are now, with their kinds."""
    assert api.kernel.plan is not None
    return {node.name: node.kind for node in api.kernel.plan.nodes if node.name not in {"front-end", "dns"}}


def test_a_service_a_vm_and_redis_of_one_name_live_side_by_side(api: Api) -> None:
    api.post(f"{PROJECT}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    subnet = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"}
    api.post(f"{PROJECT}/regions/us-central1/subnetworks", subnet)
    api.post(SERVICES, service(), serviceId="web")
    interfaces = [{"subnetwork": "regions/us-central1/subnetworks/us"}]
    api.post(f"{ZONE}/instances", {**vm("web"), "networkInterfaces": interfaces})
    api.post(REDIS, {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": NETWORK}, instanceId="web")
    assert nodes(api) == {"web": "cloud-run", "web.vm": "vm", "web.redis": "redis"}
    assert api.get(f"{ZONE}/instances/web")["networkInterfaces"][0]["networkIP"] == "10.0.0.2"
    assert api.get(f"{REDIS}/web")["state"] == "READY"

    api.post(f"{ZONE}/instances/web/reset")
    assert api.kernel.restarted == ["web.vm"]

    api.delete(f"{SERVICES}/web")
    assert nodes(api) == {"web.vm": "vm", "web.redis": "redis"}
    api.post(SERVICES, service(), serviceId="web")
    assert nodes(api) == {"web": "cloud-run", "web.vm": "vm", "web.redis": "redis"}
