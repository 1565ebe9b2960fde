"""Writes a topology as a file that `testbed up` reads back to the same topology."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from testbed.json_object import Json
from testbed.model.core.annotations import annotated
from testbed.model.core.resource import SourceFolder, segment
from testbed.model.hybrid.shared_secret import NAMED, Secret
from testbed.model.topology import Topology


def export(
    topology: Topology,
    *,
    left_out: Iterable[tuple[str, str]] = (),
    folders: Mapping[str, str] = MappingProxyType({}),
    with_secrets: bool = False,
) -> str:
    """The YAML text of a topology.

    `left_out` are resources, by kind and name, that no file has, because packets know nothing of them: they are named
    in a comment.  `folders` says by which other path a source folder is found.  The shared secrets of VPN tunnels are
    named, unless they are to be in the text.
    """
    data = topology.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for found in annotated(topology, SourceFolder):
        *way, last = found.path
        place: Any = data
        for part in way:
            place = place[part]
        place[last] = folders.get(found.value, found.value)
    if not with_secrets:
        _name_secrets(data, topology)
    for section in data.values():
        if isinstance(section, dict):
            _shorten(section, topology.project)
    text = yaml.safe_dump(_ordered(data), sort_keys=False, allow_unicode=True, width=120)
    names = sorted(left_out)
    if names:
        text += "\n# Not in this file, because they have no effect on packets:\n"
        text += "".join(f"#   {kind}: {name}\n" for kind, name in names)
    return text


def secrets(topology: Topology) -> dict[str, str]:
    """The shared secrets of VPN tunnels, by the names that an exported file has for them.

    What both ends of a tunnel have is one secret, and has the name of the end in the cloud.
    """
    found: dict[str, str] = {}
    ends = [(tunnel.name, tunnel.shared_secret) for tunnel in topology.compute.vpn_tunnels]
    for site in topology.on_prem.sites:
        tunnels = site.gateway.tunnels if site.gateway else ()
        ends += [(f"{site.name}-{number}", tunnel.shared_secret) for number, tunnel in enumerate(tunnels, 1)]
    for wanted, value in ends:
        if value not in found.values():
            free = (wanted, *(f"{wanted}-{number}" for number in range(2, len(ends) + 1)))
            found[next(name for name in free if name not in found)] = value
    return found


def _name_secrets(data: Json, topology: Topology) -> None:
    names = {value: name for name, value in secrets(topology).items()}
    for found in annotated(topology, Secret):
        *way, last = found.path
        place: Any = data
        for part in way:
            place = place[part]
        place[last] = f"{NAMED}{names[found.value]}"


def _shorten(section: Json, project: str) -> None:
    """Leave out the links of compute resources that a reader of the file would make again."""
    for resources in section.values():
        for resource in resources if isinstance(resources, list) else ():
            link = resource.get("selfLink", "")
            if link and segment(link, "projects") == project:
                del resource["selfLink"]


def _ordered(data: Json) -> Json:
    """What the file says of itself first."""
    head: Json = {key: data[key] for key in ("name", "project", "region", "zone", "capacity") if key in data}
    return {**head, **{key: value for key, value in data.items() if key not in head and value}}
