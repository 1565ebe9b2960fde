"""Network firewall policies by the API: rules and associations one at a time, both scopes, and what is effective."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"
GLOBAL, REGIONAL = f"{P}/global/firewallPolicies", f"{P}/regions/us-central1/firewallPolicies"
VPC = f"{P}/global/networks/vpc"
SCOPES = pytest.mark.parametrize("policies", [GLOBAL, REGIONAL], ids=["global", "regional"])
LAST = 2147483547


@pytest.fixture(autouse=True)
def networks(api: Api) -> None:
    for name in ("vpc", "other"):
        api.post(f"{P}/global/networks", {"name": name, "autoCreateSubnetworks": False})


def rule(priority: int | None = 100, action: str = "deny", **more: Any) -> dict[str, Any]:
    match = {"layer4Configs": [{"ipProtocol": "tcp", "ports": ["80"]}]}
    return {"action": action, "match": match, **({} if priority is None else {"priority": priority}), **more}


def associate(api: Api, policy: str, network: str = "vpc", name: str = "one", **query: Any) -> None:
    body = {"name": name, "attachmentTarget": f"global/networks/{network}"}
    api.post(f"{policy}/addAssociation", body, **query)


def priorities(api: Api, policy: str) -> list[int]:
    return [one["priority"] for one in api.get(policy)["rules"] if one["priority"] <= LAST]


@SCOPES
@pytest.mark.behaviour("4.1.21")
def test_a_policy_is_made_read_changed_and_deleted(api: Api, policies: str) -> None:
    api.post(policies, {"name": "pol", "description": "d"})
    made = api.get(f"{policies}/pol")
    assert (made["kind"], made["description"]) == ("compute#firewallPolicy", "d")
    assert made["selfLink"].endswith("/firewallPolicies/pol")
    assert [(one["priority"], one["direction"], one["action"]) for one in made["rules"]] == [
        (2147483644, "EGRESS", "goto_next"),
        (2147483645, "INGRESS", "goto_next"),
        (2147483646, "EGRESS", "goto_next"),
        (2147483647, "INGRESS", "goto_next"),
    ]
    assert ("region" in made) == (policies == REGIONAL)
    assert api.get(f"{policies}/{made['id']}")["name"] == "pol"
    api.patch(f"{policies}/pol", {"description": "e", "fingerprint": made["fingerprint"]})
    with pytest.raises(Refused, match="fingerprint"):
        api.patch(f"{policies}/pol", {"description": "f", "fingerprint": made["fingerprint"]})
    read = api.get(f"{policies}/pol")
    api.patch(f"{policies}/pol", read)  # as a client does that changes what it has read
    assert api.get(f"{policies}/pol")["rules"] == read["rules"]
    assert [one["description"] for one in api.get(policies)["items"]] == ["e"]
    api.delete(f"{policies}/pol")
    assert "items" not in api.get(policies)


@SCOPES
@pytest.mark.behaviour("4.1.21")
def test_rules_one_at_a_time(api: Api, policies: str) -> None:
    policy = f"{policies}/pol"
    api.post(policies, {"name": "pol", "rules": [rule(7)]})
    api.post(
        f"{policy}/addRule",
        rule(
            5,
            "allow",
            ruleName="web",
            match={
                "layer4Configs": [{"ipProtocol": "udp"}],
                "srcIpRanges": ["10.0.0.0/8"],
            },
        ),
    )
    made = api.get(f"{policy}/getRule", priority=5)
    assert (made["kind"], made["ruleName"]) == ("compute#firewallPolicyRule", "web")
    assert (made["direction"], made["disabled"], made["enableLogging"]) == ("INGRESS", False, False)
    api.post(f"{policy}/patchRule", {"disabled": True, "priority": 6}, priority=5)
    assert priorities(api, policy) == [6, 7]
    changed = api.get(f"{policy}/getRule", priority=6)
    assert (changed["disabled"], changed["match"]["srcIpRanges"]) == (True, ["10.0.0.0/8"])
    api.post(f"{policy}/addRule", rule(None), minPriority=6, maxPriority=9)
    assert priorities(api, policy) == [6, 7, 8]
    api.post(f"{policy}/removeRule", priority=7)
    assert priorities(api, policy) == [6, 8]
    assert api.get(f"{policy}/getRule", priority=2147483647)["action"] == "goto_next"
    stored = api.plane.topology().compute
    [known] = stored.network_firewall_policies or stored.region_network_firewall_policies
    assert [one.priority for one in known.rules] == [6, 8]


@SCOPES
@pytest.mark.behaviour("4.1.21")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (rule(100), r"'priority': '100'\. Cannot have rules with the same priorities\."),
        (rule(LAST + 1), "less than or equal to 2147483547"),
        (rule(2147483646), "must be below the priorities of the implied rules"),
        (rule(None), r"resource\.priority"),
        (rule(1, "mirror"), "'allow', 'deny' or 'goto_next'"),
        (rule(1, match={"layer4Configs": []}), r"match\.layer4Configs"),
        (rule(1, match={"layer4Configs": [{"ipProtocol": "tcp"}], "srcIpRanges": ["10.0.0.0/33"]}), "CIDR"),
        (rule(1, targetSecureTags=[{"name": "tagValues/1"}]), "secure tags are Resource Manager's"),
        (rule(1, match={"layer4Configs": [{"ipProtocol": "tcp"}], "destFqdns": ["a.b"]}), "addresses only"),
        (rule(1, "goto_next", enableLogging=True), "cannot be logged"),
    ],
)
def test_rules_that_are_refused(api: Api, policies: str, body: dict[str, Any], said: str) -> None:
    api.post(policies, {"name": "pol", "rules": [rule(100)]})
    with pytest.raises(Refused, match=said) as caught:
        api.post(f"{policies}/pol/addRule", body)
    assert caught.value.code == 400
    assert priorities(api, f"{policies}/pol") == [100]


@SCOPES
def test_a_rule_that_is_not_there(api: Api, policies: str) -> None:
    api.post(policies, {"name": "pol"})
    said = r"'priority': '328'\. The firewall policy does not contain a rule at priority 328\."
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", "getRule", None),
        ("POST", "removeRule", None),
        ("POST", "patchRule", {"disabled": True}),
    ]
    for verb, action, body in calls:
        with pytest.raises(Refused, match=said) as caught:
            api.call(verb, f"{policies}/pol/{action}", body, priority=328)
        assert caught.value.code == 400


@SCOPES
@pytest.mark.behaviour("4.1.21")
def test_associations(api: Api, policies: str) -> None:
    policy, second = f"{policies}/pol", f"{policies}/second"
    for name in ("pol", "second"):
        api.post(policies, {"name": name})
    associate(api, policy)
    made = api.get(f"{policy}/getAssociation", name="one")
    assert (made["attachmentTarget"], made["shortName"]) == (f"{LINK}/global/networks/vpc", "pol")
    assert api.get(policy)["associations"] == [made]
    with pytest.raises(Refused, match=r"'resource\.name': 'one'\. An association with that name already exists"):
        associate(api, policy, "other")
    with pytest.raises(Refused, match="has the firewall policy"):
        associate(api, second)
    with pytest.raises(Refused, match="was not found"):
        associate(api, second, "none")
    with pytest.raises(Refused, match="is already being used by 'projects/demo/global/networks/vpc'"):
        api.delete(policy)
    with pytest.raises(Refused, match="is already being used by"):
        api.delete(VPC)
    associate(api, second, replaceExistingAssociation="true")
    assert "associations" not in api.get(policy)
    with pytest.raises(Refused, match="has no association 'one'") as caught:
        api.get(f"{policy}/getAssociation", name="one")
    assert caught.value.code == 404
    api.delete(policy)
    api.post(f"{second}/removeAssociation", name="one")
    api.delete(second)
    api.delete(VPC)


@pytest.mark.behaviour("4.1.21")
def test_rules_are_cloned_from_either_scope(api: Api) -> None:
    api.post(GLOBAL, {"name": "a", "rules": [rule(1), rule(2)]})
    for policies in (GLOBAL, REGIONAL):
        api.post(policies, {"name": "b", "rules": [rule(9)]})
        api.post(f"{policies}/b/cloneRules", sourceFirewallPolicy=f"{LINK}/global/firewallPolicies/a")
        assert priorities(api, f"{policies}/b") == [1, 2]
    api.post(f"{REGIONAL}/b/removeRule", priority=1)
    source = "projects/demo/regions/us-central1/firewallPolicies/b"
    api.post(f"{GLOBAL}/a/cloneRules", sourceFirewallPolicy=source)
    assert priorities(api, f"{GLOBAL}/a") == [2]
    with pytest.raises(Refused, match="was not found"):
        api.post(f"{GLOBAL}/a/cloneRules", sourceFirewallPolicy="none")


@pytest.mark.behaviour("4.1.21", "2.3.6")
def test_effective_firewalls_of_a_network_a_region_and_an_instance(api: Api) -> None:
    subnets = {"us-central1": "10.0.0.0/24", "europe-west1": "10.1.0.0/24"}
    robot = "robot@demo.iam.gserviceaccount.com"
    for region, cidr in subnets.items():
        subnet = {"name": "s", "network": "global/networks/vpc", "ipCidrRange": cidr}
        api.post(f"{P}/regions/{region}/subnetworks", subnet)
    for zone, accounts in (("us-central1-a", [{"email": robot}]), ("europe-west1-b", [])):
        api.post(
            f"{P}/zones/{zone}/instances",
            {
                "name": f"vm-{zone}",
                "machineType": f"zones/{zone}/machineTypes/e2-micro",
                "serviceAccounts": accounts,
                "networkInterfaces": [{"subnetwork": f"regions/{zone[:-2]}/subnetworks/s"}],
                "disks": [{"boot": True, "initializeParams": {"sourceImage": "testbed/vm"}}],
            },
        )
    api.post(GLOBAL, {"name": "g", "rules": [rule(1), rule(2, targetServiceAccounts=[robot])]})
    api.post(REGIONAL, {"name": "r", "rules": [rule(3)]})
    for policies in (f"{GLOBAL}/g", f"{REGIONAL}/r"):
        associate(api, policies)
    api.post(
        f"{P}/global/firewalls", {"name": "own", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]}
    )

    def seen(path: str, **query: Any) -> tuple[list[str], dict[str, list[int]]]:
        answer = api.get(path, **query)
        found = {
            f"{one['type']} {one['name']}": [r["priority"] for r in one["rules"] if r["priority"] <= LAST]
            for one in answer.get("firewallPolicys", [])
        }
        return [one["name"] for one in answer["firewalls"]], found

    both = {"NETWORK g": [1, 2], "NETWORK_REGIONAL r": [3]}
    assert seen(f"{VPC}/getEffectiveFirewalls") == (["own"], {"NETWORK g": [1, 2]})
    assert seen(f"{P}/global/networks/other/getEffectiveFirewalls") == ([], {})
    assert seen(f"{REGIONAL}/getEffectiveFirewalls", network="global/networks/vpc") == (["own"], both)
    far = f"{P}/regions/europe-west1/firewallPolicies/getEffectiveFirewalls"
    assert seen(far, network=f"{LINK}/global/networks/vpc") == (["own"], {"NETWORK g": [1, 2]})
    path = f"{P}/zones/us-central1-a/instances/vm-us-central1-a/getEffectiveFirewalls"
    assert seen(path, networkInterface="nic0") == (["own"], both)
    path = f"{P}/zones/europe-west1-b/instances/vm-europe-west1-b/getEffectiveFirewalls"
    assert seen(path, networkInterface="nic0") == (["own"], {"NETWORK g": [1]})


@pytest.mark.behaviour("4.1.21")
def test_the_order_is_a_field_of_the_network(api: Api) -> None:
    assert api.get(VPC)["networkFirewallPolicyEnforcementOrder"] == "AFTER_CLASSIC_FIREWALL"
    api.post(GLOBAL, {"name": "pol", "rules": [rule(1, match={"layer4Configs": [{"ipProtocol": "all"}]})]})
    associate(api, f"{GLOBAL}/pol")
    api.post(
        f"{P}/global/firewalls", {"name": "own", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]}
    )
    assert comments(api) == ["own", '"pol:1"', "implied-deny-ingress"]
    api.patch(VPC, {"networkFirewallPolicyEnforcementOrder": "BEFORE_CLASSIC_FIREWALL"})
    assert api.get(VPC)["networkFirewallPolicyEnforcementOrder"] == "BEFORE_CLASSIC_FIREWALL"
    assert comments(api) == ['"pol:1"', "own", "implied-deny-ingress"]
    with pytest.raises(Refused, match="networkFirewallPolicyEnforcementOrder"):
        api.patch(VPC, {"networkFirewallPolicyEnforcementOrder": "NEVER"})


def comments(api: Api) -> list[str]:
    """The comments of the rules for receivers, in the order in which the last plan has them."""
    assert api.kernel.plan is not None
    [space] = [space for space in api.kernel.plan.namespaces if space.name == "vpc-vpc"]
    [table] = [table for table in space.tables if table.name == "filter"]
    lines = [text for chain in table.chains if chain.name.startswith("ingress") for text in chain.rules]
    stages = [text for text in lines if "--comment" in text and "implied" not in text]
    return [text.split("--comment ")[1].split(" ")[0] for text in (*stages, *(t for t in lines if "implied" in t))]


def test_policies_by_scope(api: Api) -> None:
    assert api.get(f"{P}/aggregated/firewallPolicies")["items"] == {}
    for policies in (GLOBAL, REGIONAL):
        api.post(policies, {"name": "pol"})
    items = api.get(f"{P}/aggregated/firewallPolicies")["items"]
    assert {scope: [one["name"] for one in found["firewallPolicies"]] for scope, found in items.items()} == {
        "global": ["pol"],
        "regions/us-central1": ["pol"],
    }
    pages = [api.get(f"{P}/aggregated/firewallPolicies", maxResults=1)]
    pages.append(api.get(f"{P}/aggregated/firewallPolicies", maxResults=1, pageToken=pages[0]["nextPageToken"]))
    assert [[*page["items"]] for page in pages] == [["global"], ["regions/us-central1"]]
    assert "items" not in api.get("compute/v1/locations/global/firewallPolicies")
    granted = api.post(f"{GLOBAL}/pol/testIamPermissions", {"permissions": ["compute.firewallPolicies.use"]})
    assert granted == {"permissions": ["compute.firewallPolicies.use"]}
    assert api.get(f"{GLOBAL}/pol/getIamPolicy")["version"] == 1
