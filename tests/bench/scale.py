"""What a large testbed costs: 100 VMs, 500 firewall rules, 60 networks, beside one that has next to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from statistics import median
from typing import Any

from testbed.fabric.naming import host_name
from testbed.nodes.engine import connect
from tests.bench import bare
from tests.bench.figures import Figure, taken
from tests.bench.setting import Setting
from tests.e2e.program import Program
from tests.e2e.rest import Rest

VMS, RULES, NETWORKS = 100, 500, 60
VM_TO_BARE = 1.5
LATENCY = 2.0
NETWORK = 1.5
"""As exact as the costs of two single networks can be told apart."""
_PROJECT = "compute/v1/projects/scale"
_MIB = 1 << 20


def measure(setting: Setting) -> Iterator[Figure]:
    """Two testbeds, one after the other."""
    with setting.program() as bed:
        few = taken(lambda: setting.up(bed, _topology(bed.name, vms=1, networks=1, rules=0)))
        (image,) = {*bare.images_of(bed, kind="vm")}
        rest = Rest.of(bed)
        small, second = _latencies(rest, setting.repeats), _network(bed, rest)
    with setting.program() as bed:
        many = taken(lambda: setting.up(bed, _topology(bed.name, vms=VMS + 1, networks=1, rules=0)))
        least = bare.start([image] * VMS) / VMS
        setting.up(bed, _topology(bed.name, vms=VMS + 1, networks=NETWORKS - 1, rules=RULES))
        rest = Rest.of(bed)
        large, last = _latencies(rest, setting.repeats), _network(bed, rest)
    yield Figure("a bare container", least, "s", note=f"of {VMS} that start together")
    yield Figure("a VM", (many - few) / VMS, "s", note=f"of {VMS} in one file")
    yield Figure("a VM, as a multiple of a bare container", (many - few) / VMS / least, at_most=VM_TO_BARE)
    for what in small:
        yield Figure(f"API: {what}, in a small testbed", small[what], "s")
        yield Figure(f"API: {what}, in a large one, as a multiple", large[what] / small[what], at_most=LATENCY)
    for what, value in second.items():
        unit = "MiB" if what == "memory" else "s"
        yield Figure(f"the second network: {what}", value, unit)
        yield Figure(f"network {NETWORKS}: {what}", last[what], unit, at_most=round(NETWORK * value, 3))


def _topology(name: str, *, vms: int, networks: int, rules: int) -> dict[str, Any]:
    return {
        "name": name,
        "project": "scale",
        "region": "us-central1",
        "zone": "us-central1-a",
        "compute": {
            "networks": [{"name": f"vpc-{number}"} for number in range(networks)],
            "subnetworks": [
                {"name": f"us-{number}", "network": f"vpc-{number}", "ipCidrRange": f"10.{128 + number}.0.0/20"}
                for number in range(networks)
            ],
            "instances": [
                {"name": f"vm-{number}", "networkInterfaces": [{"subnetwork": "us-0"}]} for number in range(vms)
            ],
            "firewalls": [
                {"name": f"rule-{number}", "network": "vpc-0", "allow": [f"tcp:{1000 + number}"]}
                for number in range(rules)
            ],
        },
    }


def _latencies(rest: Rest, repeats: int) -> Mapping[str, float]:
    """Seconds of a read, and of a change from the request to DONE."""
    reads, changes = list[float](), list[float]()
    body = {"name": "bench", "network": "global/networks/vpc-0", "allowed": [{"IPProtocol": "tcp", "ports": ["7"]}]}
    for _ in range(repeats):
        reads.append(taken(lambda: rest.call("GET", f"{_PROJECT}/global/networks/vpc-0")))
        changes.append(taken(lambda: rest.make(f"{_PROJECT}/global/firewalls", body)))
        rest.succeeds("DELETE", f"{_PROJECT}/global/firewalls/bench")
    return {"read": median(reads), "firewall rule": median(changes)}


def _network(bed: Program, rest: Rest) -> Mapping[str, float]:
    """What one more network costs: seconds until the operation is done, and the name server's memory in MiB."""
    before = _memory(bed)
    body = {"name": "one-more", "autoCreateSubnetworks": False}
    seconds = taken(lambda: rest.make(f"{_PROJECT}/global/networks", body))
    return {"creation": seconds, "memory": (_memory(bed) - before) / _MIB}


def _memory(bed: Program) -> int:
    """Bytes that the name server uses, without what the kernel could drop."""
    with closing(connect()) as client:
        stats: Any = client.containers.get(host_name(bed.name, "dns")).stats(stream=False)
    usage = stats["memory_stats"]
    return int(usage["usage"]) - int(usage["stats"].get("inactive_file", 0))
