"""Random firewall policies for the oracle's proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Data = dict[str, Any]

REGION = "us-central1"
ACCOUNT = "robot@p.iam.gserviceaccount.com"
LAYER4 = (
    "all",
    "tcp",
    "udp",
    "icmp",
    "6",
    "tcp:22-443",
    "tcp:80,tcp:8080",
    "udp:53-665",
    "tcp:443,udp,icmp",
    "udp:665",
    "sctp:80,esp",
)
RANGES = (
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.1.0.0/16",
    "10.0.0.0/24",
    "10.0.0.2/32",
    "10.8.0.0/28",
    "10.9.0.0/28",
    "35.199.224.0/19",
    "203.0.113.0/24",
    "203.0.113.10/32",
)


@st.composite
def policies(draw: st.DrawFn, networks: Sequence[str]) -> Data:
    """For each network perhaps a global policy, a regional one, and one of a region that has nothing."""
    found: dict[str, list[Data]] = {"networkFirewallPolicies": [], "regionNetworkFirewallPolicies": []}
    for network in networks:
        for kind, region in (("n", None), ("r", REGION), ("far", "europe-west1")):
            if draw(st.integers(0, 3)) == 0:
                policy: Data = {
                    "name": f"{kind}-{network}",
                    "rules": draw(_rules()),
                    "associations": [{"name": network, "attachmentTarget": network}],
                }
                if region:
                    policy["region"] = region
                found["regionNetworkFirewallPolicies" if region else "networkFirewallPolicies"].append(policy)
    return found


def ordered(draw: st.DrawFn, networks: list[Data]) -> list[Data]:
    """The networks, of which some have their policies first."""
    orders = st.sampled_from(("AFTER_CLASSIC_FIREWALL", "BEFORE_CLASSIC_FIREWALL"))
    return [{**network, "networkFirewallPolicyEnforcementOrder": draw(orders)} for network in networks]


@st.composite
def _rules(draw: st.DrawFn) -> list[Data]:
    priorities = draw(st.lists(st.integers(0, 9), max_size=6, unique=True))
    return [draw(_rule(priority)) for priority in priorities]


@st.composite
def _rule(draw: st.DrawFn, priority: int) -> Data:
    ranges = st.lists(st.sampled_from(RANGES), min_size=1, max_size=3, unique=True)
    action = draw(st.sampled_from(("allow", "allow", "deny", "goto_next", "goto_next")))
    match: Data = {"layer4Configs": draw(st.sampled_from(LAYER4))}
    for field in ("srcIpRanges", "destIpRanges"):
        if draw(st.booleans()):
            match[field] = draw(ranges)
    return {
        "priority": priority,
        "action": action,
        "match": match,
        "direction": draw(st.sampled_from(("INGRESS", "EGRESS"))),
        "targetServiceAccounts": [ACCOUNT] if draw(st.integers(0, 3)) == 0 else [],
        "disabled": draw(st.integers(0, 7)) == 0,
        "enableLogging": action != "goto_next" and draw(st.integers(0, 4)) == 0,
    }
