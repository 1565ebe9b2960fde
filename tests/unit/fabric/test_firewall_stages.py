"""Network firewall policies: their model, and the stages of rules that are compiled from them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from testbed.fabric.firewall.chains import EGRESS, INGRESS, Nic, chains
from testbed.fabric.firewall.decision_tree import Limits
from testbed.fabric.firewall.ip_forwarding import IpForwarding
from testbed.fabric.firewall.rules import Rule, stages
from testbed.fabric.wiring import Space
from testbed.model.compute.firewall import Firewall
from testbed.model.compute.firewall_policy import NetworkFirewallPolicy, RegionNetworkFirewallPolicy
from testbed.model.core.problem import Inconsistent
from testbed.model.topology import Topology
from tests.unit.topologies import KNOWN, Data, compute, network, topology

NICS = (Nic("10.0.0.2", region="us-central1"), Nic("10.0.0.3", frozenset({"web"}), region="europe-west1"))
ASSOCIATION: Data = {"name": "vpc", "attachmentTarget": "vpc"}


def policy(*rules: Data, **more: Any) -> NetworkFirewallPolicy:
    kind = RegionNetworkFirewallPolicy if "region" in more else NetworkFirewallPolicy
    return kind.model_validate({"name": "pol", "rules": [*rules], **more}, context=KNOWN)


def rule(priority: int = 1, action: str = "allow", layer4: Any = "tcp", **more: Any) -> Data:
    return {"priority": priority, "action": action, "match": {"layer4Configs": layer4}, **more}


def own(name: str, **more: Any) -> Firewall:
    return Firewall.model_validate({"name": name, "network": "vpc", "allowed": "tcp", **more}, context=KNOWN)


def labels(*given: tuple[Rule, ...]) -> list[list[str]]:
    return [[rule.label for rule in stage] for stage in given]


@pytest.mark.behaviour("4.1.21")
def test_the_stages() -> None:
    here = policy(rule(5), rule(4, disabled=True), name="here", region="us-central1")
    there = policy(rule(9), name="there", region="europe-west1")
    everywhere = policy(rule(7), rule(3, "goto_next"))
    rules = [own("b"), own("a", priority=1)]
    expected = [["a", "b"], ["pol:3", "pol:7"], ["us-central1/here:5", "europe-west1/there:9"]]
    assert labels(*stages(rules, [everywhere, here, there])) == expected
    assert labels(*stages(rules, [everywhere, here, there], before=True)) == [*expected[1:], expected[0]]
    assert labels(*stages(rules, [here], before=True)) == [["us-central1/here:5"], ["a", "b"]]
    assert labels(*stages(rules)) == [["a", "b"]]


@pytest.mark.behaviour("4.1.21")
def test_a_network_whose_rules_hand_nothing_on_has_one_list() -> None:
    """What no policy needs costs nothing."""
    egress, ingress = chains(stages([], [policy(rule(), rule(2, "deny"))]), NICS, Space("vpc"))
    assert ingress.rules == (
        '-p tcp -m comment --comment "pol:1" -j ACCEPT',
        '-p tcp -m comment --comment "pol:2" -j DROP',
        "-m comment --comment implied-deny-ingress -j DROP",
    )
    assert len(egress.rules) == 1


@pytest.mark.behaviour("4.1.21")
def test_what_is_not_decided_goes_on_with_the_next_stage() -> None:
    out = rule(1, "goto_next", "udp", direction="EGRESS")
    made = chains(stages([own("in")], [policy(out, rule(2, "goto_next"))]), NICS, Space("vpc"))
    assert {chain.name: chain.rules for chain in made} == {
        "egress/s0": ('-p udp -m comment --comment "pol:1" -g handed-on', "-j MARK --set-xmark 0x1/0x1"),
        "egress": (
            "-j egress/s0",
            "-m mark --mark 0x0/0x1 -j RETURN",
            "-j MARK --set-xmark 0x0/0x1",
            "-m comment --comment implied-allow-egress -j RETURN",
        ),
        "ingress/s0": ("-p tcp -m comment --comment in -j ACCEPT",),
        "ingress/s1": ('-p tcp -m comment --comment "pol:2" -j RETURN',),
        "ingress": ("-j ingress/s0", "-j ingress/s1", "-m comment --comment implied-deny-ingress -j DROP"),
    }


@pytest.mark.behaviour("4.1.21")
def test_a_regional_policy_is_for_the_region() -> None:
    space = Space("vpc")
    made = chains(stages([], [policy(rule(), region="europe-west1")]), NICS, space)
    [line] = [text for chain in made for text in chain.rules if "europe-west1/pol:1" in text]
    assert [one.members for one in space.sets if one.name in line] == [frozenset({"10.0.0.3"})]


def test_stages_take_no_more_jumps_than_one_list_does() -> None:
    """The kernel follows a bounded number, and a tree may use what the other chains leave."""
    limits = Limits(flat=1, leaf=1, copies=20, depth=3)
    rules = [rule(n, "goto_next", f"tcp:{1 + n * 7}", direction=("INGRESS", "EGRESS")[n % 2]) for n in range(200)]
    for one in rules:
        one["match"]["srcIpRanges"] = [f"10.{one['priority'] * 13 % 250}.{one['priority'] % 7}.0/24"]
    made = chains(stages([own("in")], [policy(*rules)]), NICS, Space("vpc"), limits)
    parts = {chain.name: chain.rules for chain in made}

    def jumps(name: str) -> int:
        targets = {text.rpartition(" ")[2] for text in parts[name]} & parts.keys()
        return max((1 + jumps(target) for target in targets), default=0)

    assert (jumps(EGRESS), jumps(INGRESS)) == (limits.depth, limits.depth)


@pytest.mark.behaviour("4.1.21")
def test_what_forwards_has_stages_of_its_own() -> None:
    space = Space("vpc")
    tried = stages(
        [own("in", targetTags=["web"])], [policy(rule(1, "goto_next"), rule(2, targetServiceAccounts=["x"]))]
    )
    made = IpForwarding(space, NICS, [("eth1", NICS[1])], tried).chains()
    rules = {chain.name: chain.rules for chain in made}
    assert rules["ingress/via0"] == (
        "-j ingress/via0/s0",
        "-j ingress/via0/s1",
        "-m comment --comment implied-deny-ingress -j DROP",
    )
    assert rules["ingress/via0/s0"] == ("-p tcp -m comment --comment in -j ACCEPT",)
    assert rules["ingress/via0/s1"] == ('-p tcp -m comment --comment "pol:1" -j RETURN',)


@pytest.mark.behaviour("4.1.21")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rules": [rule(1), rule(1, "deny")]}, "Cannot have rules with the same priorities"),
        ({"rules": [rule(2147483548)]}, "less than or equal to 2147483547"),
        ({"rules": [rule(-1)]}, "greater than or equal to 0"),
        ({"rules": [rule(1, "mirror")]}, "'allow', 'deny' or 'goto_next'"),
        ({"rules": [rule(1, "goto_next", enableLogging=True)]}, "goto_next rules cannot be logged"),
        ({"rules": [rule(1, targetSecureTags=[{"name": "tagValues/1"}])]}, "targetSecureTags: secure tags are"),
        ({"rules": [rule(1, layer4=[])]}, "at least 1 item"),
        ({"rules": [rule(1, layer4="icmp:1")]}, "ports go with tcp, udp and sctp only"),
        ({"rules": [{**rule(1), "match": {"layer4Configs": "tcp", "srcFqdns": ["a.b"]}}]}, "srcFqdns: the testbed's"),
        ({"associations": [ASSOCIATION, ASSOCIATION]}, "An association with that name already exists"),
        ({"packetMirroringRules": [rule(1)]}, "packetMirroringRules: the testbed mirrors no packets"),
    ],
)
def test_what_a_policy_cannot_be(fields: Data, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        policy(**fields)


def with_policies(*policies: Data, regional: list[Data] | None = None) -> Topology:
    return topology(
        compute=compute(
            networks=[network(), network("other")],
            networkFirewallPolicies=[*policies],
            regionNetworkFirewallPolicies=regional or [],
        )
    )


@pytest.mark.behaviour("4.1.21")
def test_a_network_has_one_policy_of_each_scope() -> None:
    one, two = ({"name": name, "associations": [ASSOCIATION]} for name in ("one", "two"))
    east = {**two, "region": "us-east1"}
    known = with_policies(one, regional=[two, east])
    names = [found.full_name for found in known.policies_of("projects/p/global/networks/vpc")]
    assert names == [
        "projects/p/global/firewallPolicies/one",
        "projects/p/regions/us-central1/firewallPolicies/two",
        "projects/p/regions/us-east1/firewallPolicies/two",
    ]
    assert not known.policies_of("projects/p/global/networks/other")
    for more, regional in (([one, two], []), ([], [one, two])):
        with pytest.raises(Inconsistent, match="has the firewall policy 'projects/p/"):
            with_policies(*more, regional=regional)
    foreign = {**one, "associations": [{"name": "x", "attachmentTarget": "projects/q/global/networks/vpc"}]}
    with pytest.raises(Inconsistent, match="was not found"):
        with_policies(foreign)
