"""Neighbours, nexthops, groups, routes and policy rules: what is there, and what makes it as planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from testbed.fabric.plan import Namespace, Neighbour, Nexthop, NexthopGroup, PolicyRule, Route, RouteKind
from testbed.kernel.change import Change, Step, Verb
from testbed.kernel.iproute import PROTOCOL, Dump, Entry, managed

T = TypeVar("T")

_KINDS: dict[str, RouteKind] = {"1": "unicast", "6": "blackhole", "7": "unreachable", "8": "prohibit"}
"""Route types (`RTN_*` in rtnetlink.h) that a route of ours may have."""

_UNSPECIFIED = "0.0.0.0"  # noqa: S104  # how iproute2 prints an address that the kernel chooses


@dataclass(frozen=True, slots=True)
class Routing:
    """What one namespace has of each kind."""

    neighbours: frozenset[Neighbour] = frozenset()
    nexthops: frozenset[Nexthop] = frozenset()
    groups: frozenset[NexthopGroup] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: frozenset[PolicyRule] = frozenset()


def wanted(namespace: Namespace) -> Routing:
    """The part of the plan that is compared here."""
    groups = frozenset(_sorted(group) for group in namespace.groups)
    return Routing(namespace.neighbours, namespace.nexthops, groups, namespace.routes, namespace.rules)


def parse(dump: Dump, *, node: bool) -> Routing:
    """Reads what is ours to manage (`iproute.managed`) in a namespace."""
    nexthops = [entry for entry in dump.nexthops if managed(entry, node=node)]
    return Routing(
        frozenset(
            Neighbour(entry["dst"], entry["lladdr"], entry["dev"])
            for entry in dump.neighbours
            if "lladdr" in entry and ":" not in entry["dst"]
        ),
        frozenset(_nexthop(entry) for entry in nexthops if "group" not in entry),
        frozenset(_group(entry) for entry in nexthops if "group" in entry),
        frozenset(_route(entry) for entry in dump.routes if entry["type"] in _KINDS and managed(entry, node=node)),
        frozenset(_rule(entry) for entry in dump.rules if managed(entry, node=node)),
    )


def _nexthop(entry: Entry) -> Nexthop:
    source = entry.get("src", _UNSPECIFIED)
    return Nexthop(
        entry["id"],
        entry.get("dev", ""),
        entry.get("encap_id", 0),
        entry.get("dst", ""),
        None if source == _UNSPECIFIED else source,
    )


def _group(entry: Entry) -> NexthopGroup:
    members = tuple(member["id"] for member in entry["group"])
    resilience = entry.get("resilient_args", {})
    return _sorted(
        NexthopGroup(entry["id"], members, resilience.get("buckets", 0), int(resilience.get("idle_timer", 0)))
    )


def _sorted(group: NexthopGroup) -> NexthopGroup:
    """The group with its members in order: to the kernel it is a set."""
    return NexthopGroup(group.id, tuple(sorted(group.members)), group.buckets, group.idle_timer)


def _route(entry: Entry) -> Route:
    return Route(
        _prefix(entry["dst"]),
        None if "nhid" in entry else entry.get("dev"),
        None if "nhid" in entry else entry.get("gateway"),
        entry.get("nhid"),
        entry.get("prefsrc"),
        entry.get("metric", 0),
        int(entry["table"]),
        _KINDS[entry["type"]],
    )


def _rule(entry: Entry) -> PolicyRule:
    source = "0.0.0.0/0" if entry["src"] == "all" else f"{entry['src']}/{entry.get('srclen', 32)}"
    return PolicyRule(entry["priority"], source, int(entry.get("table", 0)))


def _prefix(text: str) -> str:
    if text == "default":
        return "0.0.0.0/0"
    return text if "/" in text else f"{text}/32"


@dataclass(frozen=True)
class _Kind(Generic[T]):
    """How values of one kind are compared, installed and removed."""

    name: str
    key: Callable[[T], object]
    """Two values of equal key cannot both be installed: the one takes the other's place."""
    install: Callable[[T], str]
    remove: Callable[[T], str]
    text: Callable[[T], str]

    def replacements(self, namespace: str, want: frozenset[T], have: frozenset[T]) -> Iterator[Step]:
        """Installs what is missing."""
        taken = {self.key(value) for value in have}
        for value in sorted(want - have, key=repr):
            verb: Verb = "replace" if self.key(value) in taken else "add"
            yield Step(self.install(value), Change(namespace, verb, self.name, self.text(value)))

    def deletions(self, namespace: str, want: frozenset[T], have: frozenset[T]) -> Iterator[Step]:
        """Removes what is too many, unless its place has been taken."""
        replaced = {self.key(value) for value in want - have}
        for value in sorted(have - want, key=repr):
            if self.key(value) not in replaced:
                yield Step(self.remove(value), Change(namespace, "delete", self.name, self.text(value)))


def _nexthop_text(nexthop: Nexthop) -> str:
    source = f" src {nexthop.encap_source}" if nexthop.encap_source else ""
    encap = f"ip id {nexthop.encap_id}{source} dst {nexthop.encap_destination}"
    return f"id {nexthop.id} encap {encap} dev {nexthop.device}"


def _group_text(group: NexthopGroup) -> str:
    members = "/".join(map(str, group.members))
    resilience = f"type resilient buckets {group.buckets} idle_timer {group.idle_timer}"
    return f"id {group.id} group {members} {resilience}"


def _route_text(route: Route) -> str:
    words = [route.destination] if route.kind == "unicast" else [route.kind, route.destination]
    for key, value in (("via", route.gateway), ("dev", route.device), ("nhid", route.nexthop), ("src", route.source)):
        if value is not None:
            words.append(f"{key} {value}")
    if route.gateway:
        words.append("onlink")
    if route.metric:
        words.append(f"metric {route.metric}")
    words.append(f"table {route.table}")
    return " ".join(words)


def _rule_text(rule: PolicyRule) -> str:
    return f"priority {rule.priority} from {rule.source} table {rule.table}"


_NEIGHBOUR = _Kind[Neighbour](
    "neighbour",
    key=lambda n: (n.address, n.device),
    install=lambda n: f"neighbour replace {n.address} lladdr {n.mac} dev {n.device} nud permanent",
    # `neighbour delete` of one that is gone already would end the whole batch; `flush` finds nothing to do.
    remove=lambda n: f"neighbour flush to {n.address} dev {n.device} nud permanent",
    text=lambda n: f"{n.address} at {n.mac} on {n.device}",
)
_NEXTHOP = _Kind[Nexthop](
    "nexthop",
    key=lambda n: n.id,
    install=lambda n: f"nexthop replace {_nexthop_text(n)} protocol {PROTOCOL}",
    remove=lambda n: f"nexthop delete id {n.id}",
    text=_nexthop_text,
)
_GROUP = _Kind[NexthopGroup](
    "group",
    key=lambda g: g.id,
    install=lambda g: f"nexthop replace {_group_text(g)} protocol {PROTOCOL}",
    remove=lambda g: f"nexthop delete id {g.id}",
    text=_group_text,
)
_ROUTE = _Kind[Route](
    "route",
    key=lambda r: (r.destination, r.table, r.metric),
    install=lambda r: f"route replace {_route_text(r)} protocol {PROTOCOL}",
    remove=lambda r: f"route delete {_route_text(r)}",
    text=_route_text,
)
_RULE = _Kind[PolicyRule](
    "rule",
    key=lambda r: r,
    install=lambda r: f"rule add {_rule_text(r)} protocol {PROTOCOL}",
    remove=lambda r: f"rule delete {_rule_text(r)}",
    text=_rule_text,
)


def steps(namespace: str, want: Routing, have: Routing) -> Iterator[Step]:
    """The steps that turn `have` into `want`.

    Make before break: what replaces something takes its place in one go; what refers to an object comes after it, and
    an object goes after what referred to it.
    """
    resized = _resized(want, have)
    for group in sorted(resized, key=lambda group: group.id):
        yield Step(_GROUP.remove(group), Change(namespace, "delete", "group", _group_text(group)))
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
