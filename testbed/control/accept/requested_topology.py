"""What topology `up` is to make: that of a text, or an empty one."""

from __future__ import annotations

from pathlib import Path

from testbed.control.accept.empty_testbed import NAME, PROJECT, REGION
from testbed.control.state.folders import folder_of
from testbed.errors import InvalidArgument, NotFound
from testbed.model.topology import Topology
from testbed.topology_file import parse


def of_text(text: str, file: str, folder: Path, name: str | None) -> Topology:
    """The topology of a file's text, perhaps under another name; relative source folders start at `folder`.

    Raises:
        InvalidArgument: it is none.
    """
    topology = parse(text, file, folder)
    if name is None:
        return topology
    folder_of(name)  # refuses what cannot be a name
    return topology.model_copy(update={"name": name})


def empty(name: str | None, project: str | None, region: str | None, zone: str | None) -> Topology:
    """The topology with nothing in it, for what is made by API."""
    name, region = name or NAME, region or REGION
    folder_of(name)
    given = {"name": name, "project": project or PROJECT, "region": region, "zone": zone or f"{region}-a"}
    return Topology.model_validate(given)


def unchanged(present: Topology | None) -> Topology:
    """The topology that is there: what `up` asks for that names none.

    Raises:
        NotFound: none was ever asked for.
    """
    if present is None:
        raise NotFound("topology: this testbed has none yet", hint="name a file: testbed up FILE")
    return present


def as_it_is(present: Topology | None, wanted: Topology) -> Topology:
    """What an empty testbed has become: asking for one a second time changes nothing.

    Raises:
        InvalidArgument: the testbed that there is has another project.
    """
    if present is None:
        return wanted
    if present.project != wanted.project:
        raise InvalidArgument(
            f"testbed {present.name!r}: it is there already, of project {present.project!r}",
            hint="give this one another --name",
        )
    return present
