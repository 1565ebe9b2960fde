"""Devices and their addresses: what is there, and what makes it as planned.

A veth pair is known by the alias of its ends, `testbed:NAMESPACE/INTERFACE` of the other end: it shows people where the
cable goes, and shows us a device that was wired to another place by an earlier plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from testbed.fabric.plan import LOOPBACK, End, Interface, Plan, Tunnel, Veth
from testbed.kernel.change import Change, Step
from testbed.kernel.iproute import Entry

_MARK = "testbed:"
_TUNNEL = f"{_MARK}tunnel"
_LOOPBACK_ADDRESS = "127.0.0.1/8"


@dataclass(frozen=True, slots=True)
class Link:
    """One device as the kernel has it."""

    interface: Interface
    kind: str
    """`veth`, `vxlan`, ...; empty for a physical or loopback device."""
    alias: str = ""
    up: bool = False
    port: int | None = None
    """The UDP port of a VXLAN-GPE device in external mode; None for every other device."""


Links = Mapping[str, Link]
"""The devices of one namespace by name."""


def parse(entries: Iterable[Entry]) -> Links:
    """Reads the entries of `ip address show`."""
    return {entry["ifname"]: _link(entry) for entry in entries}


def _link(entry: Entry) -> Link:
    info = entry.get("linkinfo", {})
    data = info.get("info_data", {})
    interface = Interface(
        entry["ifname"],
        frozenset(f"{a['local']}/{a['prefixlen']}" for a in entry["addr_info"] if a.get("family") == "inet"),
        entry.get("address"),
        entry["mtu"],
    )
    gpe = data.get("external") and data.get("gpe")
    return Link(
        interface,
        info.get("info_kind", ""),
        entry.get("ifalias", ""),
        "UP" in entry["flags"],
        data["port"] if gpe else None,
    )


@dataclass(frozen=True, slots=True)
class Wiring:
    """The steps of each namespace.  All of `remove` come before any of `make`, and those before any of `adjust`."""

    remove: Mapping[str, list[Step]]
    make: Mapping[str, list[Step]]
    adjust: Mapping[str, list[Step]]


def wire(plan: Plan, actual: Mapping[str, Links], paths: Mapping[str, str]) -> Wiring:
    """The steps that turn the devices in `actual` (by namespace) into those of the plan."""
    remove, make, adjust = (defaultdict[str, list[Step]](list) for _ in range(3))
    kept = {name: dict(links) for name, links in actual.items()}

    def discard(namespace: str, name: str) -> None:
        link = kept[namespace].pop(name)
        remove[namespace].append(Step(f"link delete {name}", Change(namespace, "delete", link.kind or "link", name)))

    for namespace, name in _stale(plan, actual):
        discard(namespace, name)
    for veth in plan.veths:
        there = [end for end in (veth.a, veth.b) if end.interface.name in kept[end.namespace]]
        if len(there) < 2:
            for end in there:  # its other end is somewhere else
                discard(end.namespace, end.interface.name)
            make[veth.a.namespace].append(_make_veth(veth, paths))
    for space in plan.namespaces:
        for tunnel in _by_name(space.tunnels):
            if tunnel.interface.name not in kept[space.name]:
                make[space.name].append(_make_tunnel(space.name, tunnel))
    for namespace, interface, alias in _devices(plan):
        adjust[namespace] += _adjust(namespace, interface, alias, kept[namespace].get(interface.name))
    return Wiring(remove, make, adjust)


def _devices(plan: Plan) -> Iterator[tuple[str, Interface, str]]:
    """Every device of the plan with its namespace and alias."""
    for space in plan.namespaces:
        yield space.name, Interface(LOOPBACK, space.loopback | {_LOOPBACK_ADDRESS}), ""
        for tunnel in _by_name(space.tunnels):
            yield space.name, tunnel.interface, _TUNNEL
    for veth in plan.veths:
        yield veth.a.namespace, veth.a.interface, _alias(veth.b)
        yield veth.b.namespace, veth.b.interface, _alias(veth.a)


def _alias(peer: End) -> str:
    return f"{_MARK}{peer.namespace}/{peer.interface.name}"


def _stale(plan: Plan, actual: Mapping[str, Links]) -> Iterator[tuple[str, str]]:
    """The devices that the plan does not have, or has differently in a way that cannot be adjusted.

    In a node's namespace, a device of another name than the plan's is ours only if it carries our alias.
    """
    wanted = {
        (namespace, interface.name): ("veth" if alias else "", alias, None)
        for namespace, interface, alias in _devices(plan)
    } | {
        (space.name, tunnel.interface.name): ("vxlan", _TUNNEL, tunnel.port)
        for space in plan.namespaces
        for tunnel in space.tunnels
    }
    for space in plan.namespaces:
        for name, link in actual[space.name].items():
            ours = link.alias.startswith(_MARK) or (link.kind in ("veth", "vxlan") and not space.node)
            expected = wanted.get((space.name, name))
            if ours if expected is None else expected != (link.kind, link.alias, link.port):
                yield space.name, name


def _by_name(tunnels: Iterable[Tunnel]) -> list[Tunnel]:
    return sorted(tunnels, key=lambda tunnel: tunnel.interface.name)


def _make_veth(veth: Veth, paths: Mapping[str, str]) -> Step:
    a, b = veth.a, veth.b
    command = (
        f"link add {_properties(a.interface)} type veth peer name {_properties(b.interface)} netns {paths[b.namespace]}"
    )
    what = f"{a.interface.name} -- {b.namespace}/{b.interface.name}"
    return Step(command, Change(a.namespace, "add", "veth", what))


def _make_tunnel(namespace: str, tunnel: Tunnel) -> Step:
    command = f"link add {_properties(tunnel.interface)} type vxlan external gpe dstport {tunnel.port}"
    return Step(command, Change(namespace, "add", "tunnel", f"{tunnel.interface.name} (udp {tunnel.port})"))


def _properties(interface: Interface) -> str:
    mac = f" address {interface.mac}" if interface.mac else ""
    mtu = f" mtu {interface.mtu}" if interface.mtu else ""
    return f"{interface.name}{mac}{mtu}"


def _adjust(namespace: str, wanted: Interface, alias: str, link: Link | None) -> Iterator[Step]:
    """The steps for one device.  `link` is None if it is just being made: alias, state and addresses are missing."""
    name = wanted.name
    if link is None:
        yield Step(f"link set dev {name} alias {alias} up")
        actual = frozenset[str]()
    else:
        actual = link.interface.addresses
        for key, value, now in (
            ("address", wanted.mac, link.interface.mac),
            ("mtu", wanted.mtu, link.interface.mtu),
        ):
            if value is not None and value != now:
                change = Change(namespace, "replace", "link", f"{name}: {key} {now} -> {value}")
                yield Step(f"link set dev {name} {key} {value}", change)
        if not link.up:
            yield Step(f"link set dev {name} up", Change(namespace, "replace", "link", f"{name}: down -> up"))
    for address in sorted(actual - wanted.addresses):
        change = Change(namespace, "delete", "address", f"{address} of {name}")
        yield Step(f"address delete {address} dev {name}", change)
    for address in sorted(wanted.addresses - actual):
        if address != _LOOPBACK_ADDRESS:  # the kernel adds it when the device comes up
            change = Change(namespace, "add", "address", f"{address} on {name}")
            yield Step(f"address add {address} dev {name}", change)
