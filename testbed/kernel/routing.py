"""What makes neighbours, nexthops, groups, routes and policy rules as planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from testbed.fabric.plan import KernelRoute, Neighbour, Nexthop, NexthopGroup, RoutingRule
from testbed.kernel.change import KernelChange, KernelStep, Verb
from testbed.kernel.routing_messages import Routing, install, remove

T = TypeVar("T", Neighbour, Nexthop, NexthopGroup, RoutingRule, KernelRoute)


@dataclass(frozen=True)
class _Kind(Generic[T]):
    """How values of one kind are compared and told."""

    name: str
    key: Callable[[T], object]
    """Two values of equal key cannot both be installed: the one takes the other's place."""
    text: Callable[[T], str]

    def replacements(self, namespace: str, want: frozenset[T], have: frozenset[T]) -> Iterator[KernelStep]:
        """Installs what is missing."""
        taken = {self.key(value) for value in have}
        for value in sorted(want - have, key=repr):
            verb: Verb = "replace" if self.key(value) in taken else "add"
            yield KernelStep(install(value), KernelChange(namespace, verb, self.name, self.text(value)))

    def deletions(self, namespace: str, want: frozenset[T], have: frozenset[T]) -> Iterator[KernelStep]:
        """Removes what is too many, unless its place has been taken."""
        replaced = {self.key(value) for value in want - have}
        for value in sorted(have - want, key=repr):
            if self.key(value) not in replaced:
                yield KernelStep(remove(value), KernelChange(namespace, "delete", self.name, self.text(value)))


def _neighbour_text(neighbour: Neighbour) -> str:
    return f"{neighbour.address} at {neighbour.mac} on {neighbour.device}"


def _nexthop_text(nexthop: Nexthop) -> str:
    source = f" src {nexthop.encap_source}" if nexthop.encap_source else ""
    encap = f"ip id {nexthop.encap_id}{source} dst {nexthop.encap_destination}"
    return f"id {nexthop.id} encap {encap} dev {nexthop.device}"


def _group_text(group: NexthopGroup) -> str:
    members = "/".join(map(str, group.members))
    resilience = f"type resilient buckets {group.buckets} idle_timer {group.idle_timer}"
    return f"id {group.id} group {members} {resilience}"


def _route_text(route: KernelRoute) -> str:
    words = [route.destination] if route.kind == "unicast" else [route.kind, route.destination]
    for key, value in (("via", route.gateway), ("dev", route.device), ("nhid", route.nexthop), ("src", route.source)):
        if value is not None:
            words.append(f"{key} {value}")
    if route.gateway:
        words.append("onlink")
    words += [f"nexthop via {hop.gateway} dev {hop.device} onlink" for hop in sorted(route.hops, key=repr)]
    if route.metric:
        words.append(f"metric {route.metric}")
    words.append(f"table {route.table}")
    return " ".join(words)


def _rule_text(rule: RoutingRule) -> str:
    mark = f" fwmark {rule.mark.value:#x}/{rule.mark.mask:#x}" if rule.mark else ""
    return f"priority {rule.priority} from {rule.source}{mark} table {rule.table}"


_NEIGHBOUR = _Kind[Neighbour]("neighbour", lambda n: (n.address, n.device), _neighbour_text)
_NEXTHOP = _Kind[Nexthop]("nexthop", lambda n: n.id, _nexthop_text)
_GROUP = _Kind[NexthopGroup]("group", lambda g: g.id, _group_text)
_ROUTE = _Kind[KernelRoute]("route", lambda r: (r.destination, r.table, r.metric), _route_text)
_RULE = _Kind[RoutingRule]("rule", lambda r: r, _rule_text)


def steps(namespace: str, want: Routing, have: Routing) -> Iterator[KernelStep]:
    """The steps that turn `have` into `want`.

    Make before break: what replaces something takes its place in one go; what refers to an object comes after it, and
    an object goes after what referred to it.
    """
    resized = _resized(want, have)
    for group in sorted(resized, key=lambda group: group.id):
        yield KernelStep(remove(group), KernelChange(namespace, "delete", "group", _group_text(group)))
    gone = {group.id for group in resized}
    groups = have.groups - resized
    routes = frozenset(route for route in have.routes if route.nexthop not in gone)

    yield from _NEIGHBOUR.replacements(namespace, want.neighbours, have.neighbours)
    yield from _NEXTHOP.replacements(namespace, want.nexthops, have.nexthops)
    yield from _GROUP.replacements(namespace, want.groups, groups)
    yield from _ROUTE.replacements(namespace, want.routes, routes)
    yield from _RULE.replacements(namespace, want.rules, have.rules)
    yield from _RULE.deletions(namespace, want.rules, have.rules)
    yield from _ROUTE.deletions(namespace, want.routes, routes)
    yield from _GROUP.deletions(namespace, want.groups, groups)
    yield from _NEXTHOP.deletions(namespace, want.nexthops, have.nexthops)
    yield from _NEIGHBOUR.deletions(namespace, want.neighbours, have.neighbours)


def _resized(want: Routing, have: Routing) -> frozenset[NexthopGroup]:
    """Groups whose number of buckets changes: the kernel refuses that, so they are made anew, and their routes too."""
    buckets = {group.id: group.buckets for group in want.groups}
    return frozenset(group for group in have.groups if buckets.get(group.id, group.buckets) != group.buckets)
