"""Which firewall rules apply: those of a network and those of its policies, for a network, a region or an instance."""

from __future__ import annotations

from testbed.api.calls.call import Call, serves
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.instances.instances import INSTANCES
from testbed.api.services.compute.networks import firewall_policies as policies
from testbed.api.services.compute.networks.firewalls import FIREWALLS, effective
from testbed.api.services.compute.networks.networks import NETWORKS
from testbed.api.services.compute.references import present
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.json_object import Json
from testbed.model.compute.firewall import Firewall
from testbed.model.compute.instance import Instance
from testbed.model.core.resource import Defaults


@serves(API, "networks.getEffectiveFirewalls")
def of_network(call: Call) -> Json:
    """The rules that apply in a network, managed ones among them, and its global policy."""
    network = NETWORKS.record(call).name
    shown = [_policy(kind, record) for kind, record in policies.effective(call.plane, network)]
    return _answer(effective(call.plane, network), shown)


@serves(API, "regionNetworkFirewallPolicies.getEffectiveFirewalls")
def of_region(call: Call) -> Json:
    """The same in one region, whose policy is there, too."""
    known = call.scope(call.text("project"))
    network = present(call.plane, ("network",), "global/networks", known, call.text("network"))
    found = policies.effective(call.plane, network, policies.REGIONAL.place(call).rpartition("/")[2])
    return _answer(effective(call.plane, network), [_policy(kind, record) for kind, record in found])


@serves(API, "instances.getEffectiveFirewalls")
def of_instance(call: Call) -> Json:
    """The rules of its network, and of the policies of that, which are for it."""
    record = INSTANCES.record(call)
    instance = Instance.model_validate(record.body, context=Defaults(call.text("project"), lenient=True))
    network = call.plane.get("compute.subnetworks", instance.nic.subnetwork).body["network"]
    rules = [r for r in call.plane.list("compute.firewalls") if r.body["network"] == network]
    accounts = [account.email for account in instance.service_accounts]
    mine = [rule for rule in rules if _rule(call.plane, rule).is_for(instance.tags.items, accounts)]
    shown = [
        {**_policy(kind, record), "rules": [r for r in policies.all_rules(record) if _is_for(r, accounts)]}
        for kind, record in policies.effective(call.plane, network, instance.region)
    ]
    return {"firewalls": [FIREWALLS.printed(call.plane, rule) for rule in mine], "firewallPolicys": shown}


def _answer(firewalls: list[Json], shown: list[Json]) -> Json:
    return {"firewalls": firewalls, **({"firewallPolicys": shown} if shown else {})}


def _policy(kind: str, record: Record) -> Json:
    return {"name": record.id, "type": kind, "rules": policies.all_rules(record)}


def _is_for(rule: Json, accounts: list[str]) -> bool:
    return not rule.get("targetServiceAccounts") or not {*rule["targetServiceAccounts"]}.isdisjoint(accounts)


def _rule(plane: ControlPlane, record: Record) -> Firewall:
    return Firewall.model_validate(record.body, context=Defaults(plane.general["project"], lenient=True))
