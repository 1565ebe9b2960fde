"""Neighbours, nexthops, routes and policy rules in netlink's words: what is there, and requests for more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from socket import AF_INET

from testbed.fabric.plan import (
    Hop,
    KernelRoute,
    Mark,
    Namespace,
    Neighbour,
    Nexthop,
    RouteKind,
    RoutingRule,
)
from testbed.kernel.change import NetlinkRequest
from testbed.kernel.dump import Dump, Message

PROTOCOL = 116
"""The routing protocol number of what we install: /etc/iproute2/rt_protos and rtnetlink.h leave it to nobody else."""

_KERNEL = 2  # RTPROT_KERNEL: what the kernel adds by itself
_TYPES: dict[RouteKind, int] = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}  # RTN_*
_KINDS = {number: kind for kind, number in _TYPES.items()}
_LINK, _NOWHERE = 253, 255  # RT_SCOPE_*: of what is reached without a gateway; of whatever is to be deleted
_ONLINK = 4  # RTNH_F_ONLINK
_PERMANENT = 0x80  # NUD_PERMANENT
_IP_ENCAPSULATION = 2  # LWTUNNEL_ENCAP_IP
_ANY = "0.0.0.0"  # noqa: S104  # the address that stands for none

Devices = Mapping[int, str]
"""Names of devices by their numbers."""
Values = dict[str, object]
"""Of a request's fields and attributes."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What one namespace has of each kind."""

    neighbours: frozenset[Neighbour] = frozenset()
    nexthops: frozenset[Nexthop] = frozenset()
    routes: frozenset[KernelRoute] = frozenset()
    rules: frozenset[RoutingRule] = frozenset()


def wanted(namespace: Namespace) -> Routing:
    """What the plan says, as `parse` would read it."""
    return Routing(namespace.neighbours, namespace.nexthops, namespace.routes, namespace.rules)


def parse(dump: Dump, *, node: bool) -> Routing:
    """Reads what is ours to manage in a namespace."""
    devices: Devices = {link["index"]: link.get("ifname") for link in dump.links}
    nexthops = [message for message in dump.nexthops if _managed(message, node=node)]
    routes = [message for message in dump.routes if message["type"] in _KINDS and _managed(message, node=node)]
    neighbours = [message for message in dump.neighbours if message["state"] & _PERMANENT and message.get("lladdr")]
    return Routing(
        frozenset(Neighbour(m.get("dst"), m.get("lladdr"), devices.get(m["ifindex"], "")) for m in neighbours),
        frozenset(_nexthop(message, devices) for message in nexthops),
        frozenset(_route(message, devices) for message in routes),
        frozenset(_rule(message) for message in dump.rules if _managed(message, node=node)),
    )


def _managed(message: Message, *, node: bool) -> bool:
    """Whether this nexthop, route or rule is ours to change.

    In a namespace of ours everything is, except for the kernel's own; in a node's namespace programs of the node (a VPN
    or routing daemon) have theirs, so there it is what carries our protocol number.
    """
    protocol = message.get("protocol")
    return bool(protocol == PROTOCOL if node else protocol != _KERNEL)


def _nexthop(message: Message, devices: Devices) -> Nexthop:
    number, device = message.get("id"), devices.get(message.get("oif"), "")
    if message.get("encap_type") != _IP_ENCAPSULATION:
        return Nexthop(number, device, 0, "")
    key, destination, source = (message.get(("encap", name)) for name in ("id", "dst", "src"))
    return Nexthop(number, device, key, destination, None if source == _ANY else source)


def _route(message: Message, devices: Devices) -> KernelRoute:
    nexthop = message.get("nh_id")  # of a route by way of a nexthop object the kernel tells the devices, too
    hops = () if nexthop else message.get("multipath") or ()
    return KernelRoute(
        f"{message.get('dst', _ANY)}/{message['dst_len']}",
        None if nexthop else devices.get(message.get("oif")),
        None if nexthop else message.get("gateway"),
        nexthop,
        message.get("prefsrc"),
        message.get("priority", 0),
        message.get("table"),
        _KINDS[message["type"]],
        frozenset(Hop(devices.get(number, ""), gateway) for number, gateway in hops),
    )


def _rule(message: Message) -> RoutingRule:
    source = f"{message.get('src', _ANY)}/{message['src_len']}"
    value = message.get("fwmark")
    mark = None if value is None else Mark(value, message.get("fwmask"))
    return RoutingRule(message.get("priority", 0), source, message.get("table", 0), mark)


def install(value: Neighbour | Nexthop | KernelRoute | RoutingRule) -> NetlinkRequest:
    """The request that adds this, in the place of what is there of the same key (except a rule: it has none)."""
    match value:
        case Neighbour():
            return NetlinkRequest("neigh", "replace", _neighbour_key(value) | {"lladdr": value.mac})
        case Nexthop():
            return NetlinkRequest("nexthop", "replace", _nexthop_values(value) | {"protocol": PROTOCOL})
        case KernelRoute():
            return NetlinkRequest("route", "replace", _route_values(value) | {"protocol": PROTOCOL})
        case RoutingRule():
            return NetlinkRequest("rule", "add", _rule_values(value) | {"protocol": PROTOCOL})


def remove(value: Neighbour | Nexthop | KernelRoute | RoutingRule) -> NetlinkRequest:
    """The request that deletes this, by any program that added it."""
    match value:
        case Neighbour():
            return NetlinkRequest("neigh", "delete", _neighbour_key(value))
        case Nexthop():
            return NetlinkRequest("nexthop", "delete", {"id": value.id})
        case KernelRoute():
            return NetlinkRequest("route", "delete", _route_values(value) | {"scope": _NOWHERE})
        case RoutingRule():
            return NetlinkRequest("rule", "delete", _rule_values(value))


def _neighbour_key(neighbour: Neighbour) -> Values:
    return {"dst": neighbour.address, "index": neighbour.device}


def _nexthop_values(nexthop: Nexthop) -> Values:
    encapsulation = {"id": nexthop.encap_id, "dst": nexthop.encap_destination, "src": nexthop.encap_source}
    return {
        "id": nexthop.id,
        "family": AF_INET,
        "oif": nexthop.device,
        "encap_type": _IP_ENCAPSULATION,
        "encap": encapsulation,
    }


def _route_values(route: KernelRoute) -> Values:
    address, length = route.destination.split("/")
    return {
        "family": AF_INET,
        "type": _TYPES[route.kind],
        "dst": address,
        "dst_len": int(length),
        "oif": route.device,
        "gateway": route.gateway,
        "flags": _ONLINK if route.gateway else 0,
        "scope": _LINK if route.device and not route.gateway else 0,
        "multipath": [(hop.device, hop.gateway) for hop in sorted(route.hops, key=repr)] or None,
        "nh_id": route.nexthop,
        "prefsrc": route.source,
        "priority": route.metric or None,
        "table": route.table,
    }


def _rule_values(rule: RoutingRule) -> Values:
    values: Values = {"priority": rule.priority, "src": rule.source, "table": rule.table}
    return values | ({"fwmark": rule.mark.value, "fwmask": rule.mark.mask} if rule.mark else {})
