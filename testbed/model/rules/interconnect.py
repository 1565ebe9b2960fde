"""The rules between VLAN attachments, their routers and their sites."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.model.core.problem import Problem
from testbed.model.topology import Topology


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
            yield Problem(path, "the attachment already has another on-prem end", name)
        seen.add(name)
