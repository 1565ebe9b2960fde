"""Cloud DNS: managed zones and their record sets (behaviour 3.4).

A private zone is seen by its networks only.  It has records of its own, or its names are asked for elsewhere: at name
servers behind the network (`forwardingConfig`), in another network (`peeringConfig`), or among the addresses of
Compute Engine's instances (`reverseLookupConfig`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from testbed.json_object import Json
from testbed.model.core.ranges import Address
from testbed.model.core.resource import ComputeResource, Constant, Defaults, NetworkRef, PeerRef, Reference, Resource
from testbed.model.managed.dns_records import DNS_NAME, TYPES, is_data


def _dns_name(value: str) -> str:
    if not DNS_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a fully qualified name in lower case, with a dot at its end")
    return value


DnsName = Annotated[str, AfterValidator(_dns_name), WithJsonSchema({"type": "string", "pattern": r"\.$"})]


class VisibleNetwork(Resource):
    """A network that sees a zone."""

    network_url: NetworkRef


class Visibility(Resource):
    """Who sees a private zone."""

    not_built: ClassVar = {"gkeClusters": "there is no GKE"}

    networks: tuple[VisibleNetwork, ...] = ()


class TargetNameServer(Resource):
    """A name server that a zone's names are asked for at; it is reached through the network."""

    not_built: ClassVar = {"ipv6Address": "there is no IPv6", "domainName": "a name server is given by its address"}

    ipv4_address: Annotated[Address, Field(alias="ipv4Address")]
    forwarding_path: Annotated[Literal["default", "private", "DEFAULT", "PRIVATE"], Field()] = "default"


class ForwardingConfig(Resource):
    """Where a forwarding zone's names are asked for."""

    target_name_servers: tuple[TargetNameServer, ...] = Field(min_length=1)


class PeerNetwork(Resource):
    """The network whose view answers for a peering zone; it need not be there."""

    network_url: PeerRef


class PeeringConfig(Resource):
    """Where a peering zone's names are looked up."""

    target_network: PeerNetwork


class ReverseLookup(Resource):
    """Says that a zone answers with the names of Compute Engine's instances."""


class ManagedZone(ComputeResource):
    """A managed zone.  Of a public one everybody in the testbed sees the records."""

    collection: ClassVar[str] = "managedZones"
    not_built: ClassVar = {"serviceDirectoryConfig": "there is no Service Directory"}

    dns_name: DnsName
    visibility: Annotated[Literal["PUBLIC", "PRIVATE"], Constant] = "PUBLIC"
    private_visibility_config: Visibility = Visibility()
    forwarding_config: ForwardingConfig | None = None
    peering_config: PeeringConfig | None = None
    reverse_lookup_config: ReverseLookup | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        configs = (self.forwarding_config, self.peering_config, self.reverse_lookup_config)
        special = [config for config in configs if config is not None]
        if self.visibility == "PUBLIC" and (special or self.private_visibility_config.networks):
            raise ValueError(f"the zone {self.name} is public: networks, forwarding and peering are for private ones")
        if len(special) > 1:
            raise ValueError(f"the zone {self.name} is a forwarding, a peering or a reverse lookup zone, not several")
        return self

    @property
    def networks(self) -> frozenset[str]:
        """The full names of the networks that see it, if it is private."""
        return frozenset(network.network_url for network in self.private_visibility_config.networks)


class ResourceRecordSet(Resource):
    """The records of one name and type in a zone."""

    collection: ClassVar[str] = "rrsets"

    managed_zone: Annotated[str, Reference("managedZones")]
    name: DnsName
    type: str
    ttl: int = Field(default=300, ge=0, lt=1 << 31)
    """Seconds."""
    rrdatas: tuple[str, ...] = ()
    routing_policy: Json | None = None
    """Kept, and not answered by."""

    @classmethod
    def prepare(cls, data: Json, known: Defaults) -> Json:
        """One that only a server could have made is no mistake."""
        return {key: value for key, value in data.items() if key != "kind" or not known.lenient}

    @model_validator(mode="after")
    def _data_of_its_type(self) -> Self:
        if self.type not in TYPES:
            raise ValueError(f"{self.type!r} is not a type of records")
        if bool(self.rrdatas) == (self.routing_policy is not None):
            raise ValueError("exactly one of rrdatas and routingPolicy must be given")
        for value in self.rrdatas:
            if not is_data(self.type, value):
                raise ValueError(f"{value!r} is not the data of a record of type {self.type}")
        if self.type == "CNAME" and len(self.rrdatas) > 1:
            raise ValueError("a name has one CNAME at the most")
        return self

    @property
    def full_name(self) -> str:
        """The resource name: `projects/P/managedZones/Z/rrsets/NAME/TYPE`."""
        return f"{self.managed_zone}/rrsets/{self.name}/{self.type}"
