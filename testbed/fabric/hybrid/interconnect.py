"""Compiles VLAN attachments: the node of a Cloud Router's end, and the link to the site's (behaviour 4.12).

An attachment is like a tunnel of an HA VPN gateway, but its interface is a VLAN on one end of a veth pair instead of a
tunnel's device: BIRD speaks through it between link-local addresses, and nothing is encrypted.  Where the kernel has no
VLANs, the interface is the end itself, and nothing is tagged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from testbed.fabric import node_specs
from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.dropping import drop
from testbed.fabric.inventory import Participant
from testbed.fabric.plan import Chain, Node, Table
from testbed.fabric.vpc import Vpc
from testbed.fabric.wiring import DUMMY_GATEWAY, ROUTER, Space, Wiring
from testbed.model import bgp
from testbed.model.bgp import BgpSession
from testbed.model.drop_causes import UNTAGGED
from testbed.model.topology import Topology

_UNTAGGED = Table(
    "raw",
    (Chain("PREROUTING", "ACCEPT", (f"-i {node_specs.INTERCONNECT_DEVICE} {drop(UNTAGGED)}",)),),
)
"""What has no tag is no attachment's; the kernel would take it, although the device has no address."""


@dataclass(frozen=True, slots=True)
class Attachments:
    """The VLAN attachments of a testbed under construction."""

    topology: Topology
    running: Running
    wiring: Wiring

    def begin(self, attachment: Participant, vpc: Vpc, behind: Iterable[str]) -> Node:
        """The node of a Cloud Router's end; `behind` it are these ranges of the network, and what is advertised."""
        session = bgp.sessions(self.topology).get(attachment.owner)
        space = self.wiring.node(attachment.node, ROUTER)
        said = [one.range for one in session.advertised] if session else []
        inner = tuple(behind)
        self.wiring.attach(
            space,
            "vpc",
            vpc.space,
            attachment.address,
            mtu=vpc.mtu,
            gateway=DUMMY_GATEWAY,
            routes=dict.fromkeys([*inner, *said]),
            forwards=True,
        )
        return node_specs.attachment(space.name, "vlan-attachment", session and replace(session, inside=inner))

    def connect(self, name: str, site: Space, session: BgpSession) -> None:
        """Lay the link to a site's end, whose session is this, if the attachment carries packets."""
        mine = bgp.sessions(self.topology).get(name)
        for one in self.topology.compute.interconnect_attachments:
            if one.full_name == name and one.admin_enabled and mine is not None:
                ends = (self.wiring.node(self.running.name(NameKey.node(name))), mine.address), (site, session.address)
                over = (node_specs.INTERCONNECT_DEVICE, one.tag) if self.running.vlans else None
                self.wiring.link(*ends, device=node_specs.ATTACHMENT_DEVICE, mtu=one.mtu, over=over)
                for space, _ in ends if over else ():
                    space.tables.append(_UNTAGGED)
