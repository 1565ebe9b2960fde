"""What topology `up` is to make: a file's, that of standard input, or an empty one."""

from __future__ import annotations

import sys
from pathlib import Path

from testbed.control.state.store import folder_of
from testbed.errors import InvalidArgument
from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from testbed.topology_file import load, parse

DEFAULT_FILE = Path("testbed.yaml")
EXAMPLE = EXAMPLES / "serverless-vpc-access.yaml"
STDIN = Path("-")
NAME, PROJECT, REGION = "testbed", "demo", "us-central1"
"""Of an empty testbed, if nothing is said of it."""


def of_file(file: Path | None, name: str | None) -> tuple[Topology, str]:
    """The topology of a file, perhaps under another name, and where it is from.

    Raises:
        NotFound, InvalidArgument: there is no such file, or it is none of a topology.
    """
    path = file or (DEFAULT_FILE if DEFAULT_FILE.exists() else EXAMPLE)
    if path == STDIN:
        return _named(parse(sys.stdin.read(), "standard input", Path.cwd()), name), "standard input"
    return _named(load(path), name), str(path.resolve())


def empty(name: str | None, project: str | None, region: str | None, zone: str | None) -> Topology:
    """The topology with nothing in it, for what is made by API."""
    name, region = name or NAME, region or REGION
    folder_of(name)  # refuses what cannot be a name
    given = {"name": name, "project": project or PROJECT, "region": region, "zone": zone or f"{region}-a"}
    return Topology.model_validate(given)


def as_it_is(present: Topology | None, wanted: Topology) -> Topology:
    """What an empty testbed has become: asking for one a second time changes nothing.

    Raises:
        InvalidArgument: the testbed that there is has another project.
    """
    if present is None:
        return wanted
    if present.project != wanted.project:
        raise InvalidArgument(
            f"there is a testbed {present.name!r} already, of project {present.project!r}",
            hint="give this one another --name",
        )
    return present


def _named(topology: Topology, name: str | None) -> Topology:
    """The topology under another name, if one was given."""
    if name is None:
        return topology
    folder_of(name)
    return Topology.model_validate({**topology.model_dump(by_alias=True, exclude_defaults=True), "name": name})
