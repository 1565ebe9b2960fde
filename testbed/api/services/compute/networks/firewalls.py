"""VPC firewall rules (behaviour 4.1), those that Google makes for connectors among them (behaviour 2.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.services.compute import collection
from testbed.api.services.compute.collection import API, Collection
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import PermissionDenied
from testbed.json_object import Json
from testbed.model import managed_rules
from testbed.model.core.resource import relative, segment

ANYWHERE = "0.0.0.0/0"


def defaults(body: Json) -> Json:
    """A rule with what Google fills in."""
    result = {"direction": "INGRESS", "priority": 1000, "disabled": False, "logConfig": {"enable": False}, **body}
    if result["direction"] == "INGRESS" and not result.get("sourceTags") and not result.get("sourceServiceAccounts"):
        result.setdefault("sourceRanges", [ANYWHERE])
    if result["direction"] == "EGRESS":
        result.setdefault("destinationRanges", [ANYWHERE])
    return result


def complete(body: Json, _: Call) -> Json:
    """A rule of a network."""
    return {"network": "global/networks/default", **body}


def managed(plane: ControlPlane, name: str) -> Iterator[Record]:
    """The rules of the connectors of a project (`name` is the name of anything in it), in the form of the API."""
    topology, project = plane.topology(), segment(name, "projects")
    for network in topology.compute.networks:
        if segment(network.full_name, "projects") != project:
            continue
        for connector, rule in managed_rules.of_connectors(topology, network.full_name):
            maker = plane.find("vpcaccess.connectors", connector.name)
            body = json.loads(rule.model_dump_json(by_alias=True, exclude_defaults=True))
            body["network"] = url(network.full_name)
            yield Record(FIREWALLS.kind, rule.full_name, body, created=maker.created if maker else 0.0)


FIREWALLS = Collection(
    name="firewalls",
    singular="firewall",
    scope="global",
    defaults=defaults,
    complete=complete,
    given=lambda plane, project: managed(plane, f"projects/{project}"),
    immutable=frozenset({"name", "network", "direction"}),
).register("get", "insert", "list")


def effective(plane: ControlPlane, network: str) -> list[Json]:
    """The rules of a network, in the order in which they are tried (behaviour 4.1.5, 4.1.6)."""
    project = segment(network, "projects")
    known = FIREWALLS.records(plane, project, f"projects/{project}/")
    rules = [FIREWALLS.printed(plane, record) for record in known if relative(record.body["network"]) == network]
    return sorted(rules, key=lambda rule: (rule["direction"], rule["priority"], "allowed" in rule))


def _unmanaged(action: Callable[[Collection, Call], Answer], call: Call) -> Answer:
    """Change or delete a rule, unless it is a connector's: those "cannot be edited" (behaviour 2.2.2; our words).

    Raises:
        PermissionDenied: it is.
    """
    record = FIREWALLS.record(call)
    if not record.number:
        message = f"firewall rule '{record.id}': it is managed by Serverless VPC Access and cannot be changed"
        raise PermissionDenied(message)
    return action(FIREWALLS, call)


for _action in (collection.delete, collection.patch, collection.update):
    serves(API, f"firewalls.{_action.__name__}")(partial(_unmanaged, _action))
