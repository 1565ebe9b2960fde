"""google-cloud-compute, unmodified: REST by its endpoint option, and through the proxy."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1 as compute

from testbed.api.calls.dispatch import WINDOW
from tests.clients.conftest import PROJECT, Connect, Served
from tests.waiting import PATIENCE

NETWORK = f"projects/{PROJECT}/global/networks/vpc"
LINK = f"https://www.googleapis.com/compute/v1/{NETWORK}"


@pytest.fixture
def through_override(connect_rest: Connect) -> Connect:
    """Clients that wait for operations at the same endpoint: by themselves they would ask googleapis.com."""
    operations = {
        "global_operations": compute.GlobalOperationsClient,
        "region_operations": compute.RegionOperationsClient,
        "zone_operations": compute.ZoneOperationsClient,
    }

    def connect(made: Any) -> Any:
        client = connect_rest(made)
        client.transport._extended_operations_services = {name: connect_rest(of) for name, of in operations.items()}
        return client

    return connect


@pytest.fixture(params=["override", "proxy"])
def ways(request: pytest.FixtureRequest) -> Connect:
    made: Connect = request.getfixturevalue("through_override" if request.param == "override" else "connect_proxied")
    return made


@pytest.fixture
def networks(ways: Connect) -> compute.NetworksClient:
    client = ways(compute.NetworksClient)
    client.insert(project=PROJECT, network_resource=compute.Network(name="vpc", auto_create_subnetworks=False)).result()
    return client


def rule(name: str = "allow", **more: Any) -> compute.Firewall:
    return compute.Firewall(
        name=name, network=LINK, allowed=[compute.Allowed(I_p_protocol="tcp", ports=["80"])], **more
    )


def test_the_life_of_a_network(networks: compute.NetworksClient) -> None:
    made = networks.get(project=PROJECT, network="vpc")
    assert (made.name, made.self_link, made.auto_create_subnetworks) == ("vpc", LINK, False)
    assert [one.name for one in networks.list(project=PROJECT)] == ["vpc"]
    networks.delete(project=PROJECT, network="vpc").result()
    with pytest.raises(exceptions.NotFound, match=f"The resource '{NETWORK}' was not found"):
        networks.get(project=PROJECT, network="vpc")


@pytest.mark.usefixtures("networks")
def test_rules_are_patched_and_put(ways: Connect) -> None:
    firewalls = ways(compute.FirewallsClient)
    firewalls.insert(project=PROJECT, firewall_resource=rule(description="web")).result()
    made = firewalls.get(project=PROJECT, firewall="allow")
    assert (made.priority, made.direction, list(made.source_ranges)) == (1000, "INGRESS", ["0.0.0.0/0"])
    firewalls.patch(project=PROJECT, firewall="allow", firewall_resource=compute.Firewall(priority=10)).result()
    patched = firewalls.get(project=PROJECT, firewall="allow")
    assert (patched.priority, patched.description) == (10, "web")
    patched.source_ranges = ["10.0.0.0/8"]
    firewalls.update(project=PROJECT, firewall="allow", firewall_resource=patched).result()
    assert list(firewalls.get(project=PROJECT, firewall="allow").source_ranges) == ["10.0.0.0/8"]
    firewalls.delete(project=PROJECT, firewall="allow").result()
    assert list(firewalls.list(project=PROJECT)) == []


def test_regional_operations_and_aggregated_lists(networks: compute.NetworksClient, ways: Connect) -> None:
    subnets = ways(compute.SubnetworksClient)
    subnet = compute.Subnetwork(name="us", network=LINK, ip_cidr_range="10.128.0.0/20")
    subnets.insert(project=PROJECT, region="us-central1", subnetwork_resource=subnet).result()
    scopes = {
        scope: [one.name for one in found.subnetworks] for scope, found in subnets.aggregated_list(project=PROJECT)
    }
    assert scopes.pop("regions/us-central1") == ["us"]
    assert not any(scopes.values())
    assert networks.get(project=PROJECT, network="vpc").subnetworks[0].endswith("regions/us-central1/subnetworks/us")


@pytest.mark.usefixtures("networks")
def test_lists_are_filtered_and_come_in_pages(ways: Connect) -> None:
    firewalls = ways(compute.FirewallsClient)
    for name in ("a1", "a2", "b1"):
        firewalls.insert(project=PROJECT, firewall_resource=rule(name)).result()
    pages = firewalls.list(compute.ListFirewallsRequest(project=PROJECT, max_results=2)).pages
    assert [[one.name for one in page.items] for page in pages] == [["a1", "a2"], ["b1"]]
    found = firewalls.list(compute.ListFirewallsRequest(project=PROJECT, filter="name=a*"))
    assert [one.name for one in found] == ["a1", "a2"]


def test_operations_that_take_longer_are_waited_for(ways: Connect, served: Served) -> None:
    networks = ways(compute.NetworksClient)
    served.delay("compute.networks.insert", WINDOW + 0.2)
    creating = networks.insert(project=PROJECT, network_resource=compute.Network(name="vpc"))
    assert creating.status is compute.Operation.Status.RUNNING
    creating.result(timeout=PATIENCE)
    assert networks.get(project=PROJECT, network="vpc").name == "vpc"


def test_refusals(networks: compute.NetworksClient, ways: Connect) -> None:
    firewalls = ways(compute.FirewallsClient)
    firewalls.insert(project=PROJECT, firewall_resource=rule()).result()
    with pytest.raises(exceptions.Conflict, match="already exists"):
        firewalls.insert(project=PROJECT, firewall_resource=rule())
    with pytest.raises(exceptions.BadRequest, match=r"Invalid value for field 'resource\.name': 'No_Name'"):
        firewalls.insert(project=PROJECT, firewall_resource=rule("No_Name"))
    with pytest.raises(exceptions.BadRequest, match="is already being used by") as used:
        networks.delete(project=PROJECT, network="vpc")
    assert used.value.errors[0]["reason"] == "resourceInUseByAnotherResource"
    with pytest.raises(exceptions.NotFound):
        firewalls.delete(project=PROJECT, firewall="none")


@pytest.mark.usefixtures("networks")
@pytest.mark.behaviour("4.1.21")
def test_firewall_policies_of_both_scopes(ways: Connect) -> None:
    clients: list[tuple[Any, dict[str, str]]] = [
        (ways(compute.NetworkFirewallPoliciesClient), {}),
        (ways(compute.RegionNetworkFirewallPoliciesClient), {"region": "us-central1"}),
    ]
    port = compute.FirewallPolicyRuleMatcherLayer4Config(ip_protocol="tcp", ports=["80"])
    match = compute.FirewallPolicyRuleMatcher(layer4_configs=[port], src_ip_ranges=["10.0.0.0/8"])
    rule_ = compute.FirewallPolicyRule(priority=7, action="goto_next", direction="INGRESS", match=match)
    association = compute.FirewallPolicyAssociation(name="vpc", attachment_target=LINK)
    for client, place in clients:
        where = {"project": PROJECT, "firewall_policy": "pol", **place}
        made = compute.FirewallPolicy(name="pol")
        client.insert(project=PROJECT, firewall_policy_resource=made, **place).result()
        client.add_rule(firewall_policy_rule_resource=rule_, **where).result()
        client.add_association(firewall_policy_association_resource=association, **where).result()
        changed = compute.FirewallPolicyRule(action="deny")
        client.patch_rule({**where, "priority": 7, "firewall_policy_rule_resource": changed}).result()
        known = client.get_rule({**where, "priority": 7})
        assert (known.action, list(known.match.src_ip_ranges)) == ("deny", ["10.0.0.0/8"])
        assert client.get_association({**where, "name": "vpc"}).attachment_target == LINK
        assert [one.name for one in client.list(project=PROJECT, **place)] == ["pol"]
        with pytest.raises(exceptions.BadRequest, match="is already being used by"):
            client.delete(**where)
    effective = clients[1][0].get_effective_firewalls(project=PROJECT, region="us-central1", network=LINK)
    assert [(one.type_, one.rules[0].priority) for one in effective.firewall_policys] == [
        ("NETWORK", 7),
        ("NETWORK_REGIONAL", 7),
    ]
    for client, place in clients:
        where = {"project": PROJECT, "firewall_policy": "pol", **place}
        client.remove_association({**where, "name": "vpc"}).result()
        client.remove_rule({**where, "priority": 7}).result()
        client.delete(**where).result()
