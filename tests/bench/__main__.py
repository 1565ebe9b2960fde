"""Prints the figures: seconds of the life cycle, and the data path as ratios to paths wired by hand in the same run."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path as Folder
from statistics import median

from rich.console import Console
from rich.table import Table

from testbed.fabric.naming import host_name
from testbed.nodes.engine import connect
from tests.bench import connections, life, paths, rules
from tests.bench.traffic import Path, latency, throughput
from tests.e2e.program import Program

GIGA = 1e9
MICRO = 1e-6


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=12, help="measurements of each; medians are printed")
    parser.add_argument("--seconds", type=float, default=1.0, help="of traffic for each measurement of the data path")
    parser.add_argument("--cold", action="store_true", help="also build all images from nothing")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as name:
        folder = Folder(name)
        built = life.images(folder) if options.cold else None
        with life.program(folder) as bed:
            times = life.Times()
            life.repeat(bed, times, min(3, options.repeats))
            data_path = _data_path(bed, options.repeats, options.seconds)
            times_of_rules = rules.measure(bed, options.repeats)
    many_rules = connections.measure(options.repeats)
    seconds = times.medians() | times_of_rules | ({} if built is None else {"images, built from nothing": built})
    if options.json:
        sys.stdout.write(json.dumps({"seconds": seconds, "dataPath": data_path, "rules": many_rules}, indent=2) + "\n")
    else:
        _show(seconds, data_path, many_rules)


def _data_path(bed: Program, repeats: int, seconds: float) -> dict[str, dict[str, float]]:
    """Medians for each path, and those of the testbed's ratios to it.

    The paths take turns, and a ratio is one of neighbours: so a busy moment of the machine meets both.
    """
    with paths.hand_wired() as wired, paths.plain() as plain:
        ways = {"testbed": _from_runtime_to_vm(bed), "same hops, wired by hand": wired, "one veth pair": plain}
        bits: dict[str, list[float]] = {name: [] for name in ways}
        trips: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                bits[name].append(throughput(way, seconds))
                trips[name].append(latency(way, seconds / 2))
    return {
        name: {
            "bits per second": median(bits[name]),
            "ratio of bits per second": _ratio(bits["testbed"], bits[name]),
            "round trip": median(trips[name]),
            "ratio of round trips": _ratio(trips["testbed"], trips[name]),
        }
        for name in ways
    }


def _ratio(own: Sequence[float], other: Sequence[float]) -> float:
    return median(a / b for a, b in zip(own, other, strict=True))


def _from_runtime_to_vm(bed: Program) -> Path:
    """The way from hello-run through the connector to vm-us."""
    client, server = (
        f"/proc/{connect().containers.get(host_name(bed.name, node)).attrs['State']['Pid']}/ns/net"
        for node in ("hello-run", "vm-us")
    )
    return Path(client, server, paths.SERVER)


def _show(
    seconds: Mapping[str, float], data_path: Mapping[str, Mapping[str, float]], many_rules: Mapping[str, float]
) -> None:
    console = Console(highlight=False)
    table = Table("life cycle", "seconds", box=None)
    for what, value in seconds.items():
        table.add_row(what, f"{value:.3f}")
    console.print(table)
    table = Table("data path", "Gbit/s", "testbed's ratio", "round trip, us", "testbed's ratio", box=None)
    for name, way in data_path.items():
        table.add_row(
            name,
            f"{way['bits per second'] / GIGA:.2f}",
            f"{way['ratio of bits per second']:.2f}",
            f"{way['round trip'] / MICRO:.0f}",
            f"{way['ratio of round trips']:.2f}",
        )
    console.print()
    console.print(table)
    table = Table("many firewall rules", "", box=None)
    for what, value in many_rules.items():
        table.add_row(what, f"{value:.2f}")
    console.print()
    console.print(table)


if __name__ == "__main__":
    main()
