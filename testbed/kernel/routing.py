"""What makes neighbours, nexthops, routes and policy rules as planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from testbed.fabric.plan import KernelRoute, Neighbour, Nexthop, RoutingRule
from testbed.kernel.change import KernelChange, KernelStep, Verb
from testbed.kernel.routing_messages import Routing, install, remove

T = TypeVar("T", Neighbour, Nexthop, RoutingRule, KernelRoute)


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
_ROUTE = _Kind[KernelRoute]("route", lambda r: (r.destination, r.table, r.metric), _route_text)
_RULE = _Kind[RoutingRule]("rule", lambda r: r, _rule_text)


def steps(namespace: str, want: Routing, have: Routing) -> Iterator[KernelStep]:
    """The steps that turn `have` into `want`.

    Make before break: what replaces something takes its place in one go; what refers to an object comes after it, and
    an object goes after what referred to it.
    """
    yield from _NEIGHBOUR.replacements(namespace, want.neighbours, have.neighbours)
    yield from _NEXTHOP.replacements(namespace, want.nexthops, have.nexthops)
    yield from _ROUTE.replacements(namespace, want.routes, have.routes)
    yield from _RULE.replacements(namespace, want.rules, have.rules)
    yield from _RULE.deletions(namespace, want.rules, have.rules)
    yield from _ROUTE.deletions(namespace, want.routes, have.routes)
    yield from _NEXTHOP.deletions(namespace, want.nexthops, have.nexthops)
    yield from _NEIGHBOUR.deletions(namespace, want.neighbours, have.neighbours)
