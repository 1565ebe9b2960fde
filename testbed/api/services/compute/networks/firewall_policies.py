"""Network firewall policies, global and regional (behaviour 4.1.21).  There are no organisations, so no others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import filters, listing
from testbed.api.services import iampolicy
from testbed.api.services.compute import collection
from testbed.api.services.compute.collection import API, Collection, resource_id
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import IN_USE, ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText
from testbed.json_object import Json
from testbed.model.compute.firewall_policy import LAST_PRIORITY
from testbed.model.core.resource import relative

_FIRST_IMPLIED = 2147483644
IMPLIED: tuple[Json, ...] = tuple(
    {
        "priority": _FIRST_IMPLIED + number,
        "direction": direction,
        "action": "goto_next",
        "disabled": False,
        "enableLogging": False,
        "description": f"default {direction.lower()} rule{' ipv6' if version == 6 else ''}",
        "match": {
            "layer4Configs": [{"ipProtocol": "all"}],
            "srcIpRanges" if direction == "INGRESS" else "destIpRanges": ["::/0" if version == 6 else "0.0.0.0/0"],
        },
    }
    for number, (direction, version) in enumerate((("EGRESS", 6), ("INGRESS", 6), ("EGRESS", 4), ("INGRESS", 4)))
)
"""The rules at the end of every policy, which hand on what comes to them (recalled: which number is which)."""
_PRINTED = frozenset({"kind", "ruleTupleCount"})


def defaults(body: Json) -> Json:
    """A policy with what Google fills in."""
    result = {"policyType": "VPC_POLICY", **body}
    if "rules" in body:
        result["rules"] = [_rule(rule) for rule in body["rules"]]
    return result


def _rule(rule: Json) -> Json:
    return {"direction": "INGRESS", "disabled": False, "enableLogging": False, **rule}


def complete(body: Json, _: Call) -> Json:
    """A policy without what only answers have: its last rules are no user's."""
    result = dict(body)
    if "rules" in body:
        rules = [rule for rule in body["rules"] if rule.get("priority", 0) < _FIRST_IMPLIED]
        result["rules"] = [{k: v for k, v in rule.items() if k not in _PRINTED} for rule in rules]
    associations = [
        {key: relative(one[key]) for key in ("name", "attachmentTarget") if key in one}
        for one in result.pop("associations", ())
    ]
    return {**result, "associations": associations} if associations else result


def view(_: ControlPlane, record: Record) -> Json:
    """Its rules, the implied ones among them, and its associations."""
    shown: Json = {
        "rules": all_rules(record),
        "selfLinkWithId": url(f"{record.name.rpartition('/')[0]}/{resource_id(record)}"),
    }
    if associations := associations_of(record):
        shown["associations"] = [association(record, one) for one in associations]
    return shown


GLOBAL = Collection(
    name="networkFirewallPolicies",
    singular="firewallPolicy",
    scope="global",
    segment="firewallPolicies",
    defaults=defaults,
    complete=complete,
    view=view,
    fingerprinted=True,
    immutable=frozenset({"name", "associations"}),
).register("insert", "get", "patch")
REGIONAL = Collection(
    name="regionNetworkFirewallPolicies",
    singular="firewallPolicy",
    scope="regions",
    segment="firewallPolicies",
    defaults=defaults,
    complete=complete,
    view=view,
    fingerprinted=True,
    immutable=frozenset({"name", "associations"}),
).register("insert", "get", "patch")


def user_rules(record: Record) -> list[Json]:
    """The rules of a policy, by priority."""
    return sorted(defaults(record.body).get("rules", ()), key=lambda rule: int(rule["priority"]))


def all_rules(record: Record) -> list[Json]:
    """The same, and the implied ones, as the API prints them."""
    return [{"kind": "compute#firewallPolicyRule", **rule} for rule in (*user_rules(record), *IMPLIED)]


def associations_of(record: Record) -> list[Json]:
    """What a policy is associated with."""
    return list(record.body.get("associations", ()))


def association(record: Record, one: Json) -> Json:
    """An association as the API prints it."""
    target = url(one["attachmentTarget"])
    return {
        "name": one["name"],
        "attachmentTarget": target,
        "firewallPolicyId": resource_id(record),
        "shortName": record.id,
    }


def of(call: Call) -> Collection:
    """The collection that a call is about."""
    return REGIONAL if call.method.collection == f"compute.{REGIONAL.name}" else GLOBAL


def changed(call: Call, record: Record, fields: Json) -> Answer:
    """Accept other rules or associations of a policy."""
    known = of(call)
    return known.submit(call, record, known.completed({**record.body, **fields}, call), call.method.action)


@serves(API, "networkFirewallPolicies.delete", "regionNetworkFirewallPolicies.delete")
def delete(call: Call) -> Answer:
    """Delete a policy that no network is associated with (our words).

    Raises:
        FailedPrecondition: one is.
    """
    record = of(call).settled(call)
    for one in associations_of(record):
        message = f"The firewall_policy resource '{record.name}' is already being used by '{one['attachmentTarget']}'"
        raise FailedPrecondition(GoogleText(message), reason=IN_USE)
    return collection.delete(of(call), call)


@serves(API, "networkFirewallPolicies.list", "regionNetworkFirewallPolicies.list")
def list_(call: Call) -> Json:
    """The policies of a scope."""
    return {key: value for key, value in collection.list_(of(call), call).items() if key != "selfLink"}


@serves(API, "firewallPolicies.list")
def hierarchical(_: Call) -> Json:
    """There are none: the testbed has no organisations."""
    return {"kind": "compute#firewallPolicyList", "id": "locations/global/firewallPolicies"}


@serves(API, "networkFirewallPolicies.aggregatedList")
def aggregated(call: Call) -> Json:
    """The policies of a project, by scope."""
    prefix = f"projects/{call.text('project')}/"
    found = [(known, record) for known in (GLOBAL, REGIONAL) for record in call.plane.list(known.kind, prefix)]
    page = listing.page(
        [{**known.printed(call.plane, record), _NAME: record.name} for known, record in found],
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.compute(call.text("filter")),
        collection=prefix,
        rules=listing.COMPUTE,
        key=lambda item: str(item[_NAME]),
    )
    items: Json = {}
    for item in page.items:
        shown = {key: value for key, value in item.items() if key != _NAME}
        scope = "/".join(str(item[_NAME]).split("/")[2:-2])
        items.setdefault(scope, {"firewallPolicies": []})["firewallPolicies"].append(shown)
    name = f"{prefix}aggregated/firewallPolicies"
    return {
        "kind": "compute#networkFirewallPolicyAggregatedList",
        "id": name,
        "selfLink": url(name),
        "items": items,
        **page.following,
    }


_NAME = "\0name"
"""Where a printed policy carries its full name while it is paged."""


def effective(plane: ControlPlane, network: str, region: str | None = None) -> Iterator[tuple[str, Record]]:
    """The policies of a network, each with its type: the global one, and that of a region."""
    kinds = ((GLOBAL, "NETWORK", None), (REGIONAL, "NETWORK_REGIONAL", region))
    for known, kind, place in kinds[: 2 if region else 1]:
        for record in plane.list(known.kind):
            here = place is None or f"/regions/{place}/" in record.name
            if here and network in {one["attachmentTarget"] for one in associations_of(record)}:
                yield kind, record


def unused_priority(call: Call, record: Record) -> int | None:
    """The first priority between the bounds that a call gives, if it gives any."""
    if not (call.text("minPriority") or call.text("maxPriority")):
        return None
    used = {rule["priority"] for rule in user_rules(record)}
    last = min(call.number("maxPriority", LAST_PRIORITY), LAST_PRIORITY)
    return next((n for n in range(max(call.number("minPriority"), 0), last + 1) if n not in used), None)


for _known in (GLOBAL, REGIONAL):
    iampolicy.register(
        API, _known.name, partial(lambda known, call: known.record(call, call.text("resource")).name, _known)
    )
