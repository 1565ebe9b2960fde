"""The kinds of resources that a topology is made from, read off its own fields: `compute.firewalls` is a list of rules.

A kind is how everything that deals with all resources alike (the store, the API) knows one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from testbed.json_object import Json
from testbed.model.core.resource import Resource
from testbed.model.topology import Topology


@dataclass(frozen=True, slots=True)
class Kind:
    """One list of resources of a topology, or the one resource of a section that has only one."""

    key: str
    """Section and field as the file spells them: `compute.targetVpnGateways`."""
    section: str
    field: str
    """Both as Python spells them."""
    model: type[Resource]
    single: bool = False

    def of(self, topology: Topology) -> tuple[Resource, ...]:
        """The resources of this kind."""
        value = getattr(getattr(topology, self.section), self.field)
        if self.single:
            return () if value is None else (value,)
        return tuple(value)


def name_of(resource: Resource) -> str:
    """The full name of a resource; of what has none at Google's (hosts, sites, the application), the short one."""
    for attribute in ("full_name", "name", "id"):
        if value := getattr(resource, attribute, None):
            return str(value)
    raise TypeError(f"{type(resource).__name__} has no name")


def _kinds() -> Iterator[Kind]:
    for section, outer in Topology.model_fields.items():
        if not (isinstance(outer.annotation, type) and issubclass(outer.annotation, Resource)):
            continue
        for name, inner in outer.annotation.model_fields.items():
            model = next(a for a in get_args(inner.annotation) if isinstance(a, type) and issubclass(a, Resource))
            key = f"{outer.alias or section}.{inner.alias or name}"
            yield Kind(key, section, name, model, single=type(None) in get_args(inner.annotation))


KINDS: Mapping[str, Kind] = {kind.key: kind for kind in _kinds()}


def assemble(general: Mapping[str, Any], resources: Iterable[tuple[str, Resource]]) -> Topology:
    """The topology of resources, given by kind; `general` has its name, its project and its defaults.

    Raises:
        pydantic.ValidationError: they do not fit together.
    """
    sections: dict[str, Json] = {}
    for key, resource in resources:
        kind = KINDS[key]
        section, field = key.split(".")
        if kind.single:
            sections.setdefault(section, {})[field] = resource
        else:
            sections.setdefault(section, {}).setdefault(field, []).append(resource)
    return Topology.model_validate({**general, **sections})
