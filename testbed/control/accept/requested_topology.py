"""What topology `up` is to make: that of a text, or an empty one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from testbed.control.accept.empty_testbed import NAME, PROJECT, REGION
from testbed.control.state.folders import folder_of
from testbed.errors import InvalidArgument, NotFound
from testbed.model.compute.default_network import default_network
from testbed.model.core.faults import faults
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from testbed.topology_file import parse


def of_text(text: str, file: str, folder: Path, name: str | None, secrets: Mapping[str, str]) -> Topology:
    """The topology of a file's text, perhaps under another name; relative source folders start at `folder`.

    `secrets` are the values of what the file only names.

    Raises:
        InvalidArgument: it is none.
    """
    topology = parse(text, file, folder, secrets)
    if name is None:
        return topology
    folder_of(name)  # refuses what cannot be a name
    return topology.model_copy(update={"name": name})


def empty(
    name: str | None, project: str | None, region: str | None, zone: str | None, *, default: bool = True
) -> Topology:
    """The topology for what is made by API: with nothing but the `default` network of a new project, or without it.

    Raises:
        InvalidArgument: project, region or zone is none.
    """
    name, region = name or NAME, region or REGION
    folder_of(name)
    given = {"name": name, "project": project or PROJECT, "region": region, "zone": zone or f"{region}-a"}
    compute = default_network() if default else {}
    known = Defaults(given["project"], region, given["zone"])
    try:
        return Topology.model_validate({**given, "compute": compute}, context=known)
    except ValidationError as error:
        first = faults(error, Topology)[0]
        raise InvalidArgument(f"{first.path[0]} {first.value!r}: {first.rule}") from None


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
