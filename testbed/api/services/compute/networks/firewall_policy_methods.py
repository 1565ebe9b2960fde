"""The methods that change the rules and the associations of a network firewall policy, one at a time."""

from __future__ import annotations

from collections.abc import Callable

from testbed.api.calls.call import Answer, Call, Handler, serves
from testbed.api.contract import masks
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.networks import firewall_policies as policies
from testbed.api.services.compute.references import present, qualified
from testbed.control.accept.plane import InvalidResource
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.resource import last

_TARGET = "attachmentTarget"


def _serves(action: str) -> Callable[[Handler], Handler]:
    return serves(API, f"networkFirewallPolicies.{action}", f"regionNetworkFirewallPolicies.{action}")


# -- rules ------------------------------------------------------------------------------------------------------------


@_serves("getRule")
def get_rule(call: Call) -> Json:
    """One rule, which may be an implied one."""
    return _at(call, policies.all_rules(policies.of(call).record(call)))


@_serves("addRule")
def add_rule(call: Call) -> Answer:
    """Add a rule, at a priority that no other one has; between two bounds it is chosen.

    Raises:
        InvalidResource: there is one at this priority, or no such rule can be.
    """
    record = policies.of(call).settled(call)
    rule = dict(call.body)
    if "priority" not in rule and (chosen := policies.unused_priority(call, record)) is not None:
        rule["priority"] = chosen
    return _with_rule(call, record, policies.user_rules(record), rule)


@_serves("patchRule")
def patch_rule(call: Call) -> Answer:
    """Merge a body into a rule; it may get another priority."""
    record = policies.of(call).settled(call)
    rules = policies.user_rules(record)
    old = _at(call, rules)
    return _with_rule(call, record, [one for one in rules if one is not old], masks.merge(old, call.body))


@_serves("removeRule")
def remove_rule(call: Call) -> Answer:
    """Remove a rule; the implied ones stay."""
    record = policies.of(call).settled(call)
    rules = policies.user_rules(record)
    old = _at(call, rules)
    return policies.changed(call, record, {"rules": [one for one in rules if one is not old]})


@_serves("cloneRules")
def clone_rules(call: Call) -> Answer:
    """Put the rules of another policy, global or regional, in the place of a policy's own."""
    record = policies.of(call).settled(call)
    return policies.changed(call, record, {"rules": policies.user_rules(_source(call))})


def _with_rule(call: Call, record: Record, others: list[Json], rule: Json) -> Answer:
    if "priority" not in rule:
        raise InvalidResource(("priority",), "", "must be given")
    if rule["priority"] in {other["priority"] for other in others}:
        raise InvalidArgument(
            GoogleText(_invalid("priority", rule["priority"], "Cannot have rules with the same priorities."))
        )
    if rule["priority"] >= policies.IMPLIED[0]["priority"]:
        raise InvalidResource(("priority",), rule["priority"], "must be below the priorities of the implied rules")
    return policies.changed(call, record, {"rules": [*others, rule]})


def _at(call: Call, rules: list[Json]) -> Json:
    """The rule at the priority that a call names.

    Raises:
        InvalidArgument: there is none.
    """
    priority = call.number("priority")
    found = next((rule for rule in rules if rule["priority"] == priority), None)
    if found is None:
        rule = f"The firewall policy does not contain a rule at priority {priority}."
        raise InvalidArgument(GoogleText(_invalid("priority", priority, rule)))
    return found


def _source(call: Call) -> Record:
    """The policy that rules are copied from."""
    given = call.text("sourceFirewallPolicy")
    region = call.text("region") or None
    known = policies.GLOBAL if "/" in given and "regions/" not in given else policies.of(call)
    known = policies.REGIONAL if "regions/" in given else known
    scope = "regions/-" if known is policies.REGIONAL else "global"
    path = ("sourceFirewallPolicy",)
    name = qualified(path, f"{scope}/firewallPolicies", call.scope(call.text("project"), region=region), given)
    return call.plane.get(known.kind, name)


# -- associations -----------------------------------------------------------------------------------------------------


@_serves("getAssociation")
def get_association(call: Call) -> Json:
    """One association, by its name."""
    record = policies.of(call).record(call)
    return policies.association(record, _named(call, record))


@_serves("addAssociation")
def add_association(call: Call) -> Answer:
    """Associate a policy with a network, in the place of another one if the call says so.

    Raises:
        InvalidResource: there is an association of this name, or the network has a policy of this scope.
    """
    known = policies.of(call)
    record = known.settled(call)
    target = present(
        call.plane, (_TARGET,), "global/networks", call.scope(call.text("project")), call.body.get(_TARGET, "")
    )
    name = call.body.get("name") or f"network-{last(target)}"
    replaces = call.flag("replaceExistingAssociation")
    changes = []
    for other in call.plane.list(known.kind, f"{known.parent(call)}/"):
        mine = policies.associations_of(other)
        kept = [one for one in mine if not (replaces and one[_TARGET] == target)]
        if other.name == record.name:
            if name in {one["name"] for one in kept}:
                raise InvalidResource(("name",), name, GoogleText("An association with that name already exists."))
            kept = [*kept, {"name": name, _TARGET: target}]
        if kept != mine:
            body = known.completed({**other.body, "associations": kept}, call)
            changes.append(ResourceChange(known.kind, other.name, known.resolved(call, body, other.name)))
    return call.plane.submit(known.operation(call, record.name, tuple(changes), call.method.action))


@_serves("removeAssociation")
def remove_association(call: Call) -> Answer:
    """End an association."""
    record = policies.of(call).settled(call)
    old = _named(call, record)
    kept = [one for one in policies.associations_of(record) if one is not old]
    return policies.changed(call, record, {"associations": kept})


def _named(call: Call, record: Record) -> Json:
    """The association that a call names.

    Raises:
        NotFound: the policy has none of this name (our words).
    """
    for one in policies.associations_of(record):
        if one["name"] == call.text("name"):
            return one
    raise NotFound(f"firewall policy '{record.name}': it has no association '{call.text('name')}'", reason="notFound")


def _invalid(field: str, value: object, rule: str) -> str:
    return f"Invalid value for field '{field}': '{value}'. {rule}"
