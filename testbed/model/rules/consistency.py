"""The rules that no single resource can check: references, overlaps, regions.

Each check yields problems with the path of the value at fault, so that the file's line can be named.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.model.core.problem import Inconsistent, Problem
from testbed.model.rules import (
    addresses,
    direct_egress,
    dns,
    firewall_policies,
    instances,
    interconnect,
    networks,
    private_services,
    references,
    serverless,
    vpn,
)
from testbed.model.topology import Topology


def check(topology: Topology) -> None:
    """Refuse resources that do not fit together.

    Raises:
        Inconsistent: with all problems.
    """
    if found := list(problems(topology)):
        raise Inconsistent(found)


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that the topology breaks, whose resources Google would not let come into being so."""
    unresolved = list(references.problems(topology))
    yield from unresolved
    if unresolved:  # the rest looks resources up by name
        return
    yield from networks.problems(topology)
    yield from firewall_policies.problems(topology)
    yield from instances.problems(topology)
    yield from serverless.problems(topology)
    yield from direct_egress.problems(topology)
    yield from addresses.problems(topology)
    yield from vpn.problems(topology)
    yield from interconnect.problems(topology)
    yield from private_services.problems(topology)
    yield from dns.problems(topology)


def omissions(topology: Topology) -> Iterator[Problem]:
    """What a valid topology lacks to be a whole one.

    Made one after the other, resources may be in such a state (a gateway without forwarding rules yet, a service whose
    connector was deleted: behaviour 1.10.2); in a file that describes everything it is a mistake.
    """
    yield from references.omissions(topology)
    yield from serverless.omissions(topology)
    yield from direct_egress.omissions(topology)
    yield from vpn.omissions(topology)
