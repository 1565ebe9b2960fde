"""Service Networking v1: private connections between a network and Google's services (behaviour 4.9.3).

A connection is a peering with a network of the service's producer, whose instances have addresses from ranges that the
network has set aside for them.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar

from pydantic import Field, field_validator

from testbed.model.compute.network import Network, Peering
from testbed.model.core.resource import ComputeName, NetworkRef, Resource, last, segment

GOOGLE = "services/servicenetworking.googleapis.com"
"""The service of Google's own products."""


class PrivateConnection(Resource):
    """A private connection of a network to a service."""

    gcloud: ClassVar = {"ranges": "reservedPeeringRanges"}

    network: NetworkRef
    service: str = GOOGLE
    reserved_peering_ranges: tuple[ComputeName, ...] = Field(min_length=1)
    """Names of ranges of the network that are set aside (`globalAddresses`)."""
    export_custom_routes: bool = False
    import_custom_routes: bool = False
    """Of the network's side of the peering: Google's API has them there (`networks.updatePeering`; behaviour 4.9.9)."""

    @field_validator("service")
    @classmethod
    def _full(cls, value: str) -> str:
        return value if value.startswith("services/") else f"services/{value}"

    @property
    def full_name(self) -> str:
        """What it is known by here; Google gives it no name that is unique."""
        return f"{self.network}/{self.service}"

    @property
    def ranges(self) -> tuple[str, ...]:
        """The full names of its ranges."""
        project = segment(self.network, "projects")
        return tuple(f"projects/{project}/global/addresses/{name}" for name in self.reserved_peering_ranges)

    @property
    def producer(self) -> str:
        """The full name of the producer's network, in a project that is nobody else's ("tenant project")."""
        tenant = hashlib.sha256(self.full_name.encode()).hexdigest()[:12]
        return f"projects/x{tenant}-tp/global/networks/servicenetworking"

    @property
    def peering(self) -> Peering:
        """The network's side of the peering."""
        return Peering.model_validate(
            {
                "name": last(self.service).replace(".", "-"),
                "network": self.producer,
                "exportCustomRoutes": self.export_custom_routes,
                "importCustomRoutes": self.import_custom_routes,
            }
        )

    def producer_network(self, mtu: int) -> Network:
        """The producer's network: it takes what routes the other side exports, and has none of its own."""
        mine = {
            "name": "consumer",
            "network": self.network,
            "exportCustomRoutes": True,
            "importCustomRoutes": True,
        }
        return Network.model_validate(
            {
                "name": last(self.producer),
                "selfLink": self.producer,
                "mtu": mtu,
                "peerings": [mine],
                "deleteDefaultRoutesOnCreate": True,
            }
        )
