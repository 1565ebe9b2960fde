"""Cloud Interconnect: VLAN attachments (behaviour 4.12), and the rules between them, their routers and their sites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from testbed.model.base import AttachmentRef, Compute, Constant, RegionName, Resource, RouterRef
from testbed.model.problem import Problem
from testbed.model.ranges import Address
from testbed.model.router import Session

if TYPE_CHECKING:
    from testbed.model.topology import Topology


LOWEST_TAG = 2
"""The tag that an attachment gets if it is left to Google (behaviour 4.12.1): every attachment is a link of its own."""


class InterconnectAttachment(Compute):
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


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that attachments break; all references are known to be right."""
    compute = topology.compute
    attachments = {one.full_name: one for one in compute.interconnect_attachments}
    regions = {one.full_name: one.region for one in compute.routers}
    for i, one in enumerate(compute.interconnect_attachments):
        if regions[one.router] != one.region:
            message = f"{one.name} is in {one.region}, its router is in {regions[one.router]}"
            yield Problem(("compute", "interconnectAttachments", i, "router"), message, one.router)
    for i, router in enumerate(compute.routers):
        for j, interface in enumerate(router.interfaces):
            linked = interface.linked_interconnect_attachment
            if linked is not None and attachments[linked].router != router.full_name:
                message = f"{linked} is an attachment of another router"
                at = ("compute", "routers", i, "interfaces", j, "linkedInterconnectAttachment")
                yield Problem(at, message, linked)
    ends = [
        (("onPrem", "sites", i, "router", "attachments", j, "attachment"), end.attachment)
        for i, site in enumerate(topology.on_prem.sites)
        if site.router
        for j, end in enumerate(site.router.attachments)
    ]
    seen: set[str] = set()
    for path, name in ends:
        if name in seen:
            yield Problem(path, "the attachment has another on-prem end already", name)
        seen.add(name)
