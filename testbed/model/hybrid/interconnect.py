"""Cloud Interconnect: VLAN attachments (behaviour 4.12), and the rules between them, their routers and their sites."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from testbed.model.compute.router import Session
from testbed.model.core.ranges import Address
from testbed.model.core.resource import AttachmentRef, ComputeResource, Constant, RegionName, Resource, RouterRef

LOWEST_TAG = 2
"""The tag that an attachment gets if it is left to Google (behaviour 4.12.1): every attachment is a link of its own."""


class InterconnectAttachment(ComputeResource):
    """A VLAN attachment: a link between a Cloud Router and a router on premises, without encryption."""

    collection: ClassVar[str] = "regions/-/interconnectAttachments"

    region: RegionName
    router: RouterRef
    type: Annotated[Literal["DEDICATED", "PARTNER", "PARTNER_PROVIDER"], Constant] = "DEDICATED"
    mtu: Literal[1440, 1460, 1500, 8896] = 1440
    """Behaviour 4.7.4."""
    vlan_tag8021q: int | None = Field(default=None, alias="vlanTag8021q", ge=LOWEST_TAG, le=4093)
    """None if it is left to Google."""
    admin_enabled: bool = True
    """Whether it carries packets."""

    @property
    def tag(self) -> int:
        """The tag of its packets."""
        return self.vlan_tag8021q or LOWEST_TAG


class CustomerAttachment(Resource):
    """The on-prem end of a VLAN attachment."""

    attachment: AttachmentRef
    """It may be made later: until then the end leads nowhere."""
    bgp: Session


class SiteRouter(Resource):
    """The router of a site that is reached by VLAN attachments."""

    name: str = Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")
    internal_address: Address
    attachments: tuple[CustomerAttachment, ...] = Field(min_length=1)

    @property
    def ends(self) -> int:
        """How many nodes it is made of: each attachment has its own."""
        return len(self.attachments)
