"""How long commands take that only ask, and how long the API takes to make a VM and a Cloud Run service."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

from testbed.json_object import Json
from tests.bench.figures import Figure, taken
from tests.bench.setting import Setting
from tests.e2e.rest import Rest

COMMAND = 0.3
VM = 1.0
SERVICE = 1.2
"""Targets, in seconds."""
_COMPUTE = "compute/v1/projects/demo-project/zones/us-central1-a"
_IMAGE = "projects/debian-cloud/global/images/family/debian-12"
_HELLO = "us-docker.pkg.dev/cloudrun/container/hello"
_RUN = "v2/projects/demo-project/locations/us-central1/services"


def measure(setting: Setting) -> Iterator[Figure]:
    """On the example."""
    bed = setting.example_up()
    for command in (["status"], ["ls"], ["invoke", "hello-run", "/"]):
        times = [taken(partial(setting.run, bed, *command)) for _ in range(setting.repeats)]
        yield Figure(" ".join(command), median(times), "s", at_most=COMMAND)
    rest = Rest.of(bed)
    yield Figure("a VM by the API", median(_vm(rest, number) for number in range(setting.repeats)), "s", at_most=VM)
    services = [_service(rest, number) for number in range(setting.repeats)]
    yield Figure("a Cloud Run service by the API", median(services), "s", at_most=SERVICE)


def _vm(rest: Rest, number: int) -> float:
    """Seconds from the request until the operation is done; the VM is deleted."""
    name = f"bench-{number}"
    nic = {"subnetwork": "regions/us-central1/subnetworks/us"}
    body: Json = {
        "name": name,
        "machineType": "zones/us-central1-a/machineTypes/e2-micro",
        "disks": [{"boot": True, "initializeParams": {"sourceImage": _IMAGE}}],
        "networkInterfaces": [nic],
    }
    seconds = taken(lambda: rest.succeeds("POST", f"{_COMPUTE}/instances", body))
    rest.succeeds("DELETE", f"{_COMPUTE}/instances/{name}")
    return seconds


def _service(rest: Rest, number: int) -> float:
    name = f"bench-{number}"
    body: Json = {"template": {"containers": [{"image": _HELLO}]}}
    seconds = taken(lambda: rest.succeeds("POST", f"{_RUN}?serviceId={name}", body))
    rest.succeeds("DELETE", f"{_RUN}/{name}")
    return seconds
