"""The VPC firewall between VMs, and between a connector and a VM (behaviour 2.2, 2.4, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.program import Program, example
from tests.e2e.readers import hits, reaches, seen
from tests.e2e.rest import Rest
from tests.e2e.rules import ALL, NAME, Rules, rule
from tests.waiting import QUIET, patience

VM, QUIET_VM = "http://10.128.0.2/", "http://10.132.0.2/"
"""vm-us, which the example's rule opens to VMs, and vm-europe, which no rule opens."""


@pytest.fixture(autouse=True, scope="module")
def _put_back(demo: Program) -> Iterator[None]:
    yield
    demo.up(example(demo.name))


@pytest.mark.behaviour("4.1.7", "4.1.16")
def test_a_vm_without_an_allow_rule_is_unreachable_from_a_vm(demo: Program) -> None:
    """Behaviour 4.1.7: the implied deny; its counter moves."""
    before = hits(demo, "vpc-vpc")["implied-deny-ingress"]
    assert not reaches(demo, "vm-us", QUIET_VM, within=QUIET)
    assert hits(demo, "vpc-vpc")["implied-deny-ingress"] > before
    assert reaches(demo, "vm-europe", VM)


@pytest.mark.behaviour("2.2.2")
def test_the_automatic_rule_lets_the_connector_in(demo: Program) -> None:
    """Behaviour 2.2.2: by the connector's range; the counter names the rule."""
    before = hits(demo, "vpc-vpc")["aet-uscentral1-c1-sbntfw"]
    assert seen(demo, "hello-run", QUIET_VM) is not None
    assert hits(demo, "vpc-vpc")["aet-uscentral1-c1-sbntfw"] > before


@pytest.mark.behaviour("2.2.5", "2.4.1", "2.4.2", "2.5.1", "2.5.5")
@pytest.mark.parametrize(("priority", "passes"), [(999, False), (1000, False), (1001, True)])
def test_a_deny_for_the_universal_tag(demo: Program, priority: int, passes: bool) -> None:
    """Behaviour 2.2.5: below 1000 it beats the automatic rules, at 1000 deny wins the tie, above it comes too late."""
    with rule(demo, priority=priority, denied=ALL, sourceTags=["vpc-connector"]):
        assert (seen(demo, "hello-run", VM, within=patience(passes)) is not None) is passes
        assert (hits(demo, "vpc-vpc")[NAME] > 0) is not passes


@pytest.mark.behaviour("4.1.14")
def test_disabled_rules_do_not_exist(demo: Program) -> None:
    """Behaviour 4.1.14."""
    with rule(demo, priority=1, denied=ALL, disabled=True):
        assert seen(demo, "hello-run", VM) is not None
        assert NAME not in hits(demo, "vpc-vpc")


@pytest.mark.behaviour("2.5.3")
def test_egress_of_the_connector_can_be_denied(demo: Program) -> None:
    """Behaviour 2.5.3: a deny for the tag as target, an allow of lower number for one range."""
    rules = Rules(demo)
    tag = {"direction": "EGRESS", "targetTags": ["vpc-connector-us-central1-c1"]}
    web = [{"IPProtocol": "tcp", "ports": ["80"]}]
    with (
        rules.added("deny-out", priority=50, denied=ALL, destinationRanges=["10.0.0.0/8"], **tag),
        rules.added("allow-out", priority=40, allowed=web, destinationRanges=["10.132.0.0/20"], **tag),
    ):
        assert seen(demo, "hello-run", VM, within=QUIET) is None
        assert seen(demo, "hello-run", QUIET_VM) is not None
        assert hits(demo, "vpc-vpc")["deny-out"] > 0


@pytest.mark.behaviour("2.4.1", "2.2.7")
def test_the_unique_tag_is_one_connectors_and_its_rules_go_with_it(demo: Program) -> None:
    """Behaviour 2.4.1: a deny for c2's tag leaves c1 alone.  Behaviour 2.2.7: without c2, its rules are gone."""
    topology = example(demo.name)
    second = {"name": "c2", "network": "vpc", "ipCidrRange": "10.8.1.0/28", "minInstances": 2, "maxInstances": 3}
    topology["vpcaccess"]["connectors"].append(second)
    service = topology["cloudfunctions"]["functions"][0]["serviceConfig"]
    service["vpcConnector"] = "c2"
    demo.up(topology)
    source = seen(demo, "hello-function", VM)
    assert source is not None
    assert source.startswith("10.8.1.")
    assert seen(demo, "hello-function", QUIET_VM) is not None

    with rule(demo, priority=900, denied=ALL, sourceTags=["vpc-connector-us-central1-c2"]):
        assert seen(demo, "hello-function", VM, within=QUIET) is None
        assert seen(demo, "hello-run", VM) is not None
        assert "aet-uscentral1-c2-tagfw" in hits(demo, "vpc-vpc")

    topology = example(demo.name)
    topology["compute"]["subnetworks"].append({"name": "heirs", "network": "vpc", "ipCidrRange": "10.8.1.0/28"})
    heir = {
        "name": "heir",
        "networkInterfaces": [{"subnetwork": "heirs", "networkIP": source}],
        "tags": {"items": ["vpc-connector-us-central1-c2"]},
    }
    topology["compute"]["instances"].append(heir)
    demo.up(topology)
    assert not [name for name in hits(demo, "vpc-vpc") if "-c2-" in name]
    assert [name for name in hits(demo, "vpc-vpc") if "-c1-" in name]
    # With an address and the tag of c2's, but without its rules.
    assert not reaches(demo, "heir", QUIET_VM, within=QUIET)
    assert seen(demo, "hello-function", QUIET_VM) is not None


@pytest.mark.behaviour("4.1.18", "4.5.6")
def test_a_peered_network_filters_for_itself(demo: Program) -> None:
    """Behaviour 4.1.18, 4.5.6: without the peer's own rule the connector's traffic ends there."""
    rules, partner = Rules(demo), "http://10.200.0.2/"
    assert seen(demo, "hello-run", partner) is not None
    rules.change("partner-allow-connector", disabled=True)
    before = hits(demo, "vpc-partner")["implied-deny-ingress"]
    assert seen(demo, "hello-run", partner, within=QUIET) is None
    assert hits(demo, "vpc-partner")["implied-deny-ingress"] > before
    rules.change("partner-allow-connector", disabled=False)


@pytest.mark.behaviour("4.1.21", "2.3.6")
def test_a_firewall_policy_decides_when_it_comes_first(demo: Program) -> None:
    """The network's order is changed; `status` counts what has met the policy, `export` has both."""
    topology = example(demo.name)
    rule = {"priority": 10, "action": "deny", "match": {"layer4Configs": "tcp:80", "srcIpRanges": ["10.8.0.0/28"]}}
    associations = [{"name": "vpc", "attachmentTarget": "vpc"}]
    topology["compute"]["networkFirewallPolicies"] = [{"name": "pol", "rules": [rule], "associations": associations}]
    demo.up(topology)
    assert seen(demo, "hello-run", VM) is not None
    assert [(row["name"], row["networks"], row["rules"]) for row in _policies(demo)] == [("pol", "vpc", 1)]
    order = {"networkFirewallPolicyEnforcementOrder": "BEFORE_CLASSIC_FIREWALL"}
    Rest.of(demo).succeeds("PATCH", "compute/v1/projects/demo-project/global/networks/vpc", order)
    assert seen(demo, "hello-run", VM, within=QUIET) is None
    counted = hits(demo, "vpc-vpc")["pol:10"]
    [row] = _policies(demo)
    assert row["met"] >= counted > 0
    exported = demo.run("export").stdout
    assert "networkFirewallPolicies:" in exported
    assert "networkFirewallPolicyEnforcementOrder: BEFORE_CLASSIC_FIREWALL" in exported


def _policies(testbed: Program) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = testbed.json("status")["firewallPolicies"]
    return rows
