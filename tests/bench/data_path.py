"""What the data path costs: from a runtime to a VM, beside paths that were wired by hand in the same run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from statistics import median

from testbed.fabric.naming import host_name
from testbed.nodes.engine import connect
from tests.bench import paths
from tests.bench.figures import Figure, ratio
from tests.bench.setting import Setting
from tests.bench.traffic import Path, latency, throughput
from tests.e2e.program import Program

_GIGA, _MICRO = 1e9, 1e-6
_OWN = "testbed"


def measure(setting: Setting) -> Iterator[Figure]:
    """Throughput and round trips of each path, and the ratios of the testbed's to the others'; the paths take turns."""
    bed = setting.example_up()
    with paths.hand_wired() as wired, paths.plain() as plain:
        ways = {_OWN: from_runtime_to_vm(bed), "the same hops, wired by hand": wired, "one veth pair": plain}
        bits: dict[str, list[float]] = {name: [] for name in ways}
        trips: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(setting.repeats):
            for name, way in ways.items():
                bits[name].append(throughput(way, setting.seconds))
                trips[name].append(latency(way, setting.seconds / 2))
    for name in ways:
        yield Figure(f"throughput, {name}", median(bits[name]) / _GIGA, "Gbit/s")
        yield Figure(f"round trip, {name}", median(trips[name]) / _MICRO, "us")
    for name in [name for name in ways if name != _OWN]:
        yield Figure(f"throughput, ratio to {name}", ratio(bits[_OWN], bits[name]))
        yield Figure(f"round trip, ratio to {name}", ratio(trips[_OWN], trips[name]))


def from_runtime_to_vm(bed: Program) -> Path:
    """The way from hello-run through the connector to vm-us."""
    return Path(space_of(bed, "hello-run"), space_of(bed, "vm-us"), paths.SERVER)


def space_of(bed: Program, node: str) -> str:
    """The network namespace of a node."""
    with closing(connect()) as client:
        process = client.containers.get(host_name(bed.name, node)).attrs["State"]["Pid"]
    return f"/proc/{process}/ns/net"
