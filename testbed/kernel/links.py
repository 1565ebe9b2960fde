"""Devices and their addresses: what is there, and what makes it as planned.

A veth pair is known by the alias of its ends, `testbed:NAMESPACE/INTERFACE` of the other end: it shows people where the
cable goes, and shows us a device that was wired to another place by an earlier plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from testbed.errors import Internal
from testbed.fabric.plan import GSO_MAX_SEGS, LOOPBACK, End, Interface, Namespace, Plan, Tunnel, Veth, Vlan
from testbed.kernel.change import KernelChange, KernelStep, NetlinkRequest
from testbed.kernel.dump import Message

Device = TypeVar("Device", Tunnel, Vlan)

_MARK = "testbed:"
_TUNNEL = f"{_MARK}tunnel"
_VLAN = f"{_MARK}vlan"
_LOOPBACK_ADDRESS = "127.0.0.1/8"
_ETHERNET = 1  # ARPHRD_ETHER
_UP = 1  # IFF_UP
_8021Q = 0x8100  # ETH_P_8021Q
_MODES = ("collect_metadata", "gpe")


@dataclass(frozen=True, slots=True)
class Link:
    """One device as the kernel has it."""

    interface: Interface
    kind: str
    """`veth`, `vxlan`, ...; empty for a physical or loopback device."""
    alias: str = ""
    """Empty for the loopback device, whose alias is no part of a plan: it says whose the namespace is."""
    up: bool = False
    port: int | None = None
    """The UDP port, of both ends, of a VXLAN-GPE device in external mode; None for every other device."""
    vlan: tuple[str, int] | None = None
    """The parent and the tag of a VLAN device (IEEE 802.1Q); None for every other device."""


Links = Mapping[str, Link]
"""The devices of one namespace by name."""


def parse(links: Iterable[Message], addresses: Iterable[Message]) -> Links:
    """Reads a dump's links and addresses."""
    of_device = defaultdict[int, set[str]](set)
    for address in addresses:
        of_device[address["index"]].add(f"{address.get('local')}/{address['prefixlen']}")
    named = {link["index"]: link for link in links}
    return {link.get("ifname"): _link(link, of_device[index], named) for index, link in named.items()}


def _link(link: Message, addresses: Iterable[str], named: Mapping[int, Message]) -> Link:
    kind = link.get(("linkinfo", "kind"), "")
    return Link(
        Interface(
            link.get("ifname"),
            frozenset(addresses),
            link.get("address") if link["ifi_type"] == _ETHERNET else None,
            link.get("mtu"),
            link.get("gso_max_segs", GSO_MAX_SEGS),
        ),
        kind,
        "" if link.get("ifname") == LOOPBACK else link.get("ifalias", ""),
        bool(link["flags"] & _UP),
        _tunnel_port(link) if kind == "vxlan" else None,
        _place(link, named) if kind == "vlan" else None,
    )


def _place(link: Message, named: Mapping[int, Message]) -> tuple[str, int] | None:
    """None for a device that is not like ours."""
    parent = named.get(link.get("link"))
    if parent is None or link.get(("linkinfo", "data", "vlan_protocol")) != _8021Q:
        return None
    return parent.get("ifname"), link.get(("linkinfo", "data", "vlan_id"))


def _tunnel_port(link: Message) -> int | None:
    """None for a device that is not like ours."""
    port = link.get(("linkinfo", "data", "vxlan_port"))
    sources = link.get(("linkinfo", "data", "vxlan_port_range"), {})
    ours = all(link.get(("linkinfo", "data", f"vxlan_{mode}")) for mode in _MODES)
    return port if ours and sources == _only(port) else None


def _only(port: int) -> dict[str, int]:
    """The range of source ports that has only this one (the upper bound is not part of it).

    By default the source is a hash of the inner flow, and then the two directions of a tunnel do not look like one
    connection: no firewall would ever know it, and each packet would be tried by every rule.
    """
    return {"low": port, "high": port + 1}


@dataclass(frozen=True, slots=True)
class LinkSteps:
    """The steps of each namespace.  All of `remove` come before any of `make`, and those before any of `adjust`."""

    remove: Mapping[str, list[KernelStep]]
    make: Mapping[str, list[KernelStep]]
    adjust: Mapping[str, list[KernelStep]]


def wire(plan: Plan, actual: Mapping[str, Links], paths: Mapping[str, str]) -> LinkSteps:
    """The steps that turn the devices in `actual` (by namespace) into those of the plan.

    Namespaces that are not in `actual` stay as they are.

    Raises:
        Internal: a veth is missing of which one end is in such a namespace.
    """
    remove, make, adjust = (defaultdict[str, list[KernelStep]](list) for _ in range(3))
    kept = {name: dict(links) for name, links in actual.items()}

    def discard(namespace: str, name: str) -> None:
        link = kept[namespace].pop(name)
        change = KernelChange(namespace, "delete", link.kind or "link", name)
        remove[namespace].append(KernelStep(NetlinkRequest("link", "delete", {"ifname": name}), change))

    for namespace, name in _stale(plan, actual):
        discard(namespace, name)
    for veth in plan.veths:
        there, whole = _ends(veth, kept)
        if not whole:
            for end in there:  # its other end is somewhere else
                discard(end.namespace, end.interface.name)
            make[veth.a.namespace].append(_make_veth(veth, paths))
    spaces = [space for space in plan.namespaces if space.name in actual]
    for namespace, interface, alias in _devices(plan, actual):
        adjust[namespace] += _adjust(namespace, interface, alias, kept[namespace].get(interface.name))
    for space in spaces:
        for tunnel in _by_name(space.tunnels):
            if tunnel.interface.name not in kept[space.name]:
                make[space.name].append(_make_tunnel(space.name, tunnel))
        adjust[space.name] += _vlans(space, kept[space.name])
    return LinkSteps(remove, make, adjust)


def _ends(veth: Veth, kept: Mapping[str, Links]) -> tuple[list[End], bool]:
    """The ends of a veth that are there, of those that are looked at; and whether these are all."""
    looked_at = [end for end in (veth.a, veth.b) if end.namespace in kept]
    there = [end for end in looked_at if end.interface.name in kept[end.namespace]]
    if len(there) < len(looked_at) < 2:
        raise Internal(f"veth {_alias(veth.a)}: it is not there, and its other end was not looked at")
    return there, len(there) == len(looked_at)


def _devices(plan: Plan, spaces: Container[str]) -> Iterator[tuple[str, Interface, str]]:
    """Every device of these namespaces of the plan, except VLANs, with its namespace and alias."""
    for space in plan.namespaces:
        if space.name not in spaces:
            continue
        yield space.name, Interface(LOOPBACK, space.loopback | {_LOOPBACK_ADDRESS}), ""
        for tunnel in _by_name(space.tunnels):
            yield space.name, tunnel.interface, _TUNNEL
    for veth in plan.veths:
        for end, other in ((veth.a, veth.b), (veth.b, veth.a)):
            if end.namespace in spaces:
                yield end.namespace, end.interface, _alias(other)


def _alias(peer: End) -> str:
    return f"{_MARK}{peer.namespace}/{peer.interface.name}"


def _vlans(space: Namespace, kept: Links) -> Iterator[KernelStep]:
    """The steps for the VLANs of a namespace.

    The kernel removes one along with its parent, and takes one only on a parent that is there and up: after `make`, in
    which the namespace of the other end may make the parent.
    """
    for vlan in _by_name(space.vlans):
        link = kept.get(vlan.interface.name) if vlan.parent in kept else None
        if link is None:
            yield _make_vlan(space.name, vlan)
        yield from _adjust(space.name, vlan.interface, _VLAN, link)


def _stale(plan: Plan, actual: Mapping[str, Links]) -> Iterator[tuple[str, str]]:
    """The devices that the plan does not have, or has differently in a way that cannot be adjusted.

    In a node's namespace, a device of another name than the plan's is ours only if it carries our alias.
    """
    wanted: dict[tuple[str, str], tuple[object, ...]] = {
        (namespace, interface.name): ("veth" if alias else "", alias, None, None)
        for namespace, interface, alias in _devices(plan, actual)
    }
    for space in (space for space in plan.namespaces if space.name in actual):
        for tunnel in space.tunnels:
            wanted[space.name, tunnel.interface.name] = "vxlan", _TUNNEL, tunnel.port, None
        for vlan in space.vlans:
            wanted[space.name, vlan.interface.name] = "vlan", _VLAN, None, (vlan.parent, vlan.tag)
        for name, link in actual[space.name].items():
            ours = link.alias.startswith(_MARK) or (link.kind in ("veth", "vxlan", "vlan") and not space.node)
            expected = wanted.get((space.name, name))
            if ours if expected is None else expected != (link.kind, link.alias, link.port, link.vlan):
                yield space.name, name


def _by_name(devices: Iterable[Device]) -> list[Device]:
    return sorted(devices, key=lambda device: device.interface.name)


def _make_veth(veth: Veth, paths: Mapping[str, str]) -> KernelStep:
    a, b = veth.a, veth.b
    peer = {**_properties(b.interface), "net_ns_fd": paths[b.namespace]}
    request = NetlinkRequest("link", "add", {**_properties(a.interface), "kind": "veth", "peer": peer})
    return KernelStep(
        request, KernelChange(a.namespace, "add", "veth", f"{a.interface.name} -- {b.namespace}/{b.interface.name}")
    )


def _make_tunnel(namespace: str, tunnel: Tunnel) -> KernelStep:
    modes = {f"vxlan_{mode}": True for mode in _MODES}
    ports = {"vxlan_port": tunnel.port, "vxlan_port_range": _only(tunnel.port)}
    values = {**_properties(tunnel.interface), "kind": "vxlan", "vxlan_learning": 0, **ports, **modes}
    change = KernelChange(namespace, "add", "tunnel", f"{tunnel.interface.name} (udp {tunnel.port})")
    return KernelStep(NetlinkRequest("link", "add", values), change)


def _make_vlan(namespace: str, vlan: Vlan) -> KernelStep:
    values = {**_properties(vlan.interface), "kind": "vlan", "link": vlan.parent, "vlan_id": vlan.tag}
    change = KernelChange(namespace, "add", "vlan", f"{vlan.interface.name} (tag {vlan.tag} on {vlan.parent})")
    return KernelStep(NetlinkRequest("link", "add", values), change)


def _properties(interface: Interface) -> dict[str, object]:
    values = {"ifname": interface.name, "address": interface.mac, "mtu": interface.mtu}
    return {name: value for name, value in values.items() if value is not None}


def _adjust(namespace: str, wanted: Interface, alias: str, link: Link | None) -> Iterator[KernelStep]:
    """The steps for one device.  `link` is None if it is just being made: alias, state and addresses are missing."""

    def setting(what: str, values: Mapping[str, object], *, reported: bool = True) -> KernelStep:
        change = KernelChange(namespace, "replace", "link", f"{wanted.name}: {what}")
        return KernelStep(NetlinkRequest("link", "set", {"ifname": wanted.name, **values}), change, reported)

    if link is None:
        limit = {"gso_max_segs": wanted.gso_max_segs} if wanted.gso_max_segs != GSO_MAX_SEGS else {}
        yield setting(f"up, alias {alias}", {"ifalias": alias, "state": "up", **limit}, reported=False)
        actual = frozenset[str]()
    else:
        actual = link.interface.addresses
        for name, value, now in (
            ("address", wanted.mac, link.interface.mac),
            ("mtu", wanted.mtu, link.interface.mtu),
            ("gso_max_segs", wanted.gso_max_segs, link.interface.gso_max_segs),
        ):
            if value is not None and value != now:
                yield setting(f"{name} {now} -> {value}", {name: value})
        if not link.up:
            yield setting("down -> up", {"state": "up"})
    for address in sorted(actual - wanted.addresses):
        yield _address(namespace, wanted.name, "delete", address)
    for address in sorted(wanted.addresses - actual):
        if address != _LOOPBACK_ADDRESS:  # the kernel adds it when the device comes up
            yield _address(namespace, wanted.name, "add", address)


def _address(namespace: str, device: str, verb: Literal["add", "delete"], address: str) -> KernelStep:
    change = KernelChange(namespace, verb, "address", f"{address} {'on' if verb == 'add' else 'of'} {device}")
    return KernelStep(NetlinkRequest("addr", verb, {"index": device, "address": address}), change)
