"""`make bench`: how long a testbed takes to come up and to answer, and what its data path and its size cost.

Figures with a target say whether they reach it.  Ratios are of things measured in turn in one run: they hold on any
machine, and the seconds say what they mean on this one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console

from tests.bench import building, commands, data_path, many_rules, rules, scale, start
from tests.bench.figures import Figure, show
from tests.bench.setting import Setting, program

GROUPS: Mapping[str, Callable[[Setting], Iterator[Figure]]] = {
    "start": start.measure,
    "commands": commands.measure,
    "data-path": data_path.measure,
    "rules": rules.measure,
    "many-rules": many_rules.measure,
    "scale": scale.measure,
    "images": building.measure,
}
ON_REQUEST = {"images"}
"""Groups that are measured only where they are named, as they take minutes."""


def main() -> None:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    usual = [name for name in GROUPS if name not in ON_REQUEST]
    parser.add_argument("group", nargs="*", help=f"{', '.join(GROUPS)}; without any, all but {', '.join(ON_REQUEST)}")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each; medians are printed")
    parser.add_argument("--seconds", type=float, default=1.0, help="of traffic for each measurement of a data path")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := {*options.group} - GROUPS.keys():
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    console, found = Console(highlight=False), dict[str, list[Figure]]()
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as name, program(Path(name)) as bed:
        setting = Setting(options.repeats, options.seconds, Path(name), bed)
        for group in options.group or usual:
            found[group] = [*GROUPS[group](setting)]
            if not options.json:
                show(console, group, found[group])
    if options.json:
        figures = {group: [one.as_json() for one in some] for group, some in found.items()}
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
