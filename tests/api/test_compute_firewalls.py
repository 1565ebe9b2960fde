"""compute: firewall rules, those of connectors among them (behaviour 2.2, 4.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
RULES = f"{P}/global/firewalls"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"
CONNECTOR = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
CONNECTORS = "v1/projects/demo/locations/us-central1/connectors"
SUFFIXES = ("earfw", "egrfw", "hcfw", "rsgfw", "sbntfw", "tagfw")


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post(f"{P}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})


def rule(name: str = "r", **fields: Any) -> dict[str, Any]:
    action = {} if "denied" in fields or "allowed" in fields else {"allowed": [{"IPProtocol": "tcp"}]}
    return {"name": name, "network": f"{LINK}/global/networks/vpc", **action, **fields}


@pytest.mark.behaviour("4.1.3", "4.1.4", "4.1.10")
def test_a_rule_gets_the_documented_defaults(api: Api) -> None:
    api.post(RULES, rule())
    made = api.get(f"{RULES}/r")
    assert {key: made[key] for key in ("direction", "priority", "sourceRanges", "disabled", "logConfig")} == {
        "direction": "INGRESS",
        "priority": 1000,
        "sourceRanges": ["0.0.0.0/0"],
        "disabled": False,
        "logConfig": {"enable": False},
    }
    api.post(RULES, rule("out", direction="EGRESS"))
    assert api.get(f"{RULES}/out")["destinationRanges"] == ["0.0.0.0/0"]
    api.post(RULES, rule("tagged", sourceTags=["web"]))
    assert "sourceRanges" not in api.get(f"{RULES}/tagged")


@pytest.mark.behaviour("4.1.3", "4.1.4", "4.1.8", "4.1.10", "4.1.12")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"allowed": [], "denied": []}, "exactly one of allowed and denied"),  # behaviour 4.1.8
        ({"denied": [{"IPProtocol": "tcp"}], "allowed": [{"IPProtocol": "tcp"}]}, "exactly one of allowed and denied"),
        ({"direction": "EGRESS", "sourceTags": ["a"]}, "EGRESS"),  # behaviour 4.1.3
        ({"sourceTags": ["a"], "sourceServiceAccounts": ["x@y.z"]}, "cannot be mixed"),  # behaviour 4.1.10
        ({"targetTags": ["a"], "targetServiceAccounts": ["x@y.z"]}, "cannot be mixed"),  # behaviour 4.1.12
        ({"priority": 65536}, "resource.priority"),  # behaviour 4.1.4
        (
            {"sourceRanges": ["10.0.0.0/33"]},
            r"resource\.sourceRanges\[0\]': '10.0.0.0/33'\. Must be a valid IPV4 CIDR address range\.",
        ),
        ({"targetTags": ["Bad"]}, r"resource\.targetTags\[0\]': 'Bad'"),
        ({"allowed": [{"IPProtocol": "icmp", "ports": ["1"]}]}, "ports"),  # behaviour 4.1.8
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["9-8"]}]}, r"Invalid port range specification\."),
        ({"name": "Bad"}, r"Invalid value for field 'resource\.name': 'Bad'\. Must be a match of regex"),
        ({"network": "global/networks/none"}, "The resource 'projects/demo/global/networks/none' was not found"),
    ],
)
def test_a_rule_that_breaks_a_rule_is_refused(api: Api, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        api.post(RULES, {**rule(), **fields})
    assert caught.value.code in {400, 404}
    assert "items" not in api.get(RULES)


@pytest.mark.behaviour("4.1.1")
def test_a_rule_can_be_changed_but_not_moved(api: Api) -> None:
    api.post(RULES, rule(description="d", logConfig={"enable": True, "metadata": "INCLUDE_ALL_METADATA"}))
    api.patch(f"{RULES}/r", {"disabled": True, "sourceRanges": ["10.0.0.0/8"]})
    made = api.get(f"{RULES}/r")
    assert (made["disabled"], made["sourceRanges"], made["description"]) == (True, ["10.0.0.0/8"], "d")
    assert made["logConfig"]["metadata"] == "INCLUDE_ALL_METADATA"
    api.put(f"{RULES}/r", rule(sourceTags=["web"]))
    assert "sourceRanges" not in api.get(f"{RULES}/r")
    for fixed in ({"direction": "EGRESS"}, {"network": "global/networks/other"}):
        with pytest.raises(Refused, match="cannot be changed"):
            api.patch(f"{RULES}/r", fixed)


@pytest.mark.behaviour("2.2.2", "2.2.7")
def test_connectors_have_six_rules_that_nobody_can_change(api: Api) -> None:
    api.post(CONNECTORS, CONNECTOR, connectorId="c1")
    api.post(RULES, rule())
    names = [f"aet-uscentral1-c1-{suffix}" for suffix in SUFFIXES]
    assert [one["name"] for one in api.get(RULES)["items"]] == [*names, "r"]
    made = api.get(f"{RULES}/aet-uscentral1-c1-sbntfw")
    assert (made["sourceRanges"], made["priority"]) == (["10.8.0.0/28"], 1000)
    for verb, body in {"DELETE": None, "PATCH": {"disabled": True}, "PUT": rule(names[0])}.items():
        with pytest.raises(Refused, match="managed by Serverless VPC Access") as caught:
            api.call(verb, f"{RULES}/{names[0]}", body)
        assert caught.value.code == 403
    with pytest.raises(Refused) as caught:
        api.post(RULES, rule(names[0]))
    assert caught.value.code == 409
    api.delete(f"{CONNECTORS}/c1")
    assert [one["name"] for one in api.get(RULES)["items"]] == ["r"]  # behaviour 2.2.7


@pytest.mark.behaviour("2.3.1")
def test_a_service_project_has_to_make_its_rules_itself(api: Api) -> None:
    subnet = {"name": "s", "network": "global/networks/vpc", "ipCidrRange": "10.8.0.0/28"}
    api.post(f"{P}/regions/us-central1/subnetworks", subnet)
    body = {"subnet": {"name": "s", "projectId": "demo"}, "minInstances": 2, "maxInstances": 3}
    api.post("v1/projects/service/locations/us-central1/connectors", body, connectorId="c1")
    assert "items" not in api.get(RULES)


@pytest.mark.behaviour("4.1.5", "4.1.6", "4.1.22")
def test_effective_rules_are_in_their_order(api: Api) -> None:
    api.post(CONNECTORS, CONNECTOR, connectorId="c1")
    rules: dict[str, dict[str, Any]] = {
        "allow": {},
        "deny": {"denied": [{"IPProtocol": "all"}]},
        "first": {"priority": 1},
        "out": {"direction": "EGRESS", "priority": 65535},
    }
    for name, fields in rules.items():
        api.post(RULES, rule(name, **fields))
    found = [one["name"] for one in api.get(f"{P}/global/networks/vpc/getEffectiveFirewalls")["firewalls"]]
    assert {*found} == {"allow", "deny", "first", "out", *(f"aet-uscentral1-c1-{suffix}" for suffix in SUFFIXES)}
    assert found.index("out") < found.index("first") < found.index("deny") < found.index("allow")


def test_null_in_a_patch_clears_the_field(api: Api) -> None:
    """A patch is a JSON merge patch (RFC 7396)."""
    api.post(RULES, rule(targetTags=["old"], description="text", logConfig={"enable": True}))
    api.patch(f"{RULES}/r", {"targetTags": None, "description": None, "logConfig": None})
    now = api.get(f"{RULES}/r")
    assert "targetTags" not in now
    assert now.get("description", "") == ""
    assert now["logConfig"] == {"enable": False}
    with pytest.raises(Refused, match="name"):
        api.patch(f"{RULES}/r", {"name": None})


@pytest.mark.behaviour("2.2.2")
def test_a_rule_of_the_user_has_no_name_of_a_managed_one(api: Api) -> None:
    """Whichever comes first: no rule of either hides one of the other."""
    name = f"aet-uscentral1-c1-{SUFFIXES[0]}"
    api.post(RULES, rule(name))
    failed = api.post(CONNECTORS, CONNECTOR, connectorId="c1")["error"]
    assert failed["message"] == f"Operation failed: The resource 'projects/demo/global/firewalls/{name}' already exists"
    assert failed["code"] == 6
    api.post(CONNECTORS, {**CONNECTOR, "ipCidrRange": "10.8.1.0/28"}, connectorId="c2")
    api.delete(f"{RULES}/{name}")
    api.delete(f"{CONNECTORS}/c1")
    api.post(CONNECTORS, CONNECTOR, connectorId="c1")
    with pytest.raises(Refused, match=f"firewalls/{name}' already exists") as caught:
        api.post(RULES, rule(name))
    assert caught.value.code == 409
    assert len(api.get(RULES)["items"]) == 2 * len(SUFFIXES)
