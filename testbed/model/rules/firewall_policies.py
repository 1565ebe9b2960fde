"""The rules between firewall policies and networks: a network has at most one policy of each scope."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.model.compute.firewall_policy import RegionNetworkFirewallPolicy
from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.core.resource import segment
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Every rule that associations break; the networks are known to be there (the words are ours)."""
    compute = topology.compute
    there: dict[tuple[str, str], str] = {}
    for key, policies in (
        ("networkFirewallPolicies", compute.network_firewall_policies),
        ("regionNetworkFirewallPolicies", compute.region_network_firewall_policies),
    ):
        for i, policy in enumerate(policies):
            scope = policy.region if isinstance(policy, RegionNetworkFirewallPolicy) else "global"
            for j, network in enumerate(policy.networks):
                path: Path = ("compute", key, i, "associations", j, "attachmentTarget")
                if segment(network, "projects") != segment(policy.full_name, "projects"):
                    yield Problem(path, "must be a network of the policy's own project", network)
                elif other := there.get((network, scope)):
                    yield Problem(path, f"the network has the firewall policy '{other}'", network)
                else:
                    there[network, scope] = policy.full_name
