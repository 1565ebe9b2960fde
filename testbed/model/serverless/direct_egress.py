"""Direct VPC egress: a workload's instances have an address of a subnet each, and no connector (behaviour 7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from testbed.json_object import Json
from testbed.model.compute.instance import Tag
from testbed.model.core.resource import Defaults, Reference, Resource, last, segment

SMALLEST = 26
"""Prefix length of the smallest subnet (behaviour 6.2, 7.2)."""

# What they name has to be there for what runs only: `problem`.
_Network = Annotated[str, Reference("global/networks", required=False)]
SubnetworkOfInterface = Annotated[str, Reference("regions/-/subnetworks", required=False)]


class DirectInterface(Resource):
    """The interface of each instance of a workload: in a network, a subnet, or both."""

    gcloud: ClassVar = {"subnet": "subnetwork", "network-tags": "tags"}

    network: _Network | None = None
    subnetwork: SubnetworkOfInterface | None = None
    tags: tuple[Tag, ...] = ()
    """For targets of firewall rules; as a source tag, Google calls the behaviour undefined (behaviour 7.2)."""

    @classmethod
    def prepare(cls, data: Json, known: Defaults) -> Json:  # noqa: ARG003 - one for all
        """An empty text is nothing."""
        return {name: value for name, value in data.items() if value != ""}

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.network is None and self.subnetwork is None:
            raise ValueError("at least one of network and subnetwork must be specified")
        return self

    def place(self, region: str) -> Direct:
        """Where the instances of a workload of a region are."""
        return Direct(self.network, self.subnetwork or subnet_like(self.network or "", region), frozenset(self.tags))


def subnet_like(network: str, region: str) -> str:
    """The subnet that is meant if only a network is given: the one of its name, as auto mode makes them."""
    return f"projects/{segment(network, 'projects')}/regions/{region}/subnetworks/{last(network)}"


@dataclass(frozen=True, slots=True)
class Direct:
    """Where the instances of a workload have their addresses."""

    network: str | None
    """As it was given."""
    subnetwork: str
    """The full name."""
    tags: frozenset[str] = frozenset()
