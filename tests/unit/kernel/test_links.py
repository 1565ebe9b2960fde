from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from testbed.fabric.plan import End, Interface, Namespace, Plan, Tunnel, Veth, Vlan
from testbed.kernel import links
from testbed.kernel.change import KernelStep, NetlinkRequest
from testbed.kernel.dump import Message
from testbed.kernel.links import Link, Links, LinkSteps
from tests.unit.kernel.messages import decoded

PATHS = {"vpc": "/run/netns/tb-t-vpc", "vm": "/proc/123/ns/net"}
VPC_END = End("vpc", Interface("vm", frozenset({"169.254.1.1/32"}), "02:00:00:00:00:01", 1460))
VM_END = End("vm", Interface("eth0", frozenset({"10.0.0.2/32"}), "02:00:00:00:00:02", 1460))
TUNNEL = Tunnel(Interface("tun0", mtu=1410), 665)
PLAN = Plan(
    "t",
    (Namespace("vpc"), Namespace("vm", node=True, tunnels=frozenset({TUNNEL}))),
    (Veth(VPC_END, VM_END),),
    (),
)
LO = Link(Interface("lo", frozenset({"127.0.0.1/8"}), "00:00:00:00:00:00", 65536), "", up=True)
VPC_SIDE = Link(VPC_END.interface, "veth", "testbed:vm/eth0", up=True)
VM_SIDE = Link(VM_END.interface, "veth", "testbed:vpc/vm", up=True)
TUN = Link(Interface("tun0", mtu=1410), "vxlan", "testbed:tunnel", up=True, port=665)


TAGGED = Vlan(Interface("vlan", frozenset({"169.254.0.2/30"}), VM_END.interface.mac, 1460), "eth0", 100)
TRUNK = Plan("t", (Namespace("vpc"), Namespace("vm", node=True, vlans=frozenset({TAGGED}))), PLAN.veths, ())
VLAN = Link(TAGGED.interface, "vlan", "testbed:vlan", up=True, vlan=("eth0", 100))
MAKE_VLAN = [
    NetlinkRequest(
        "link",
        "add",
        {
            "ifname": "vlan",
            "address": "02:00:00:00:00:02",
            "mtu": 1460,
            "kind": "vlan",
            "link": "eth0",
            "vlan_id": 100,
        },
    ),
    NetlinkRequest("link", "set", {"ifname": "vlan", "ifalias": "testbed:vlan", "state": "up"}),
    NetlinkRequest("addr", "add", {"index": "vlan", "address": "169.254.0.2/30"}),
]


def there(*devices: Link) -> Links:
    return {device.interface.name: device for device in (LO, *devices)}


def wire(vpc: Links, vm: Links, plan: Plan = PLAN) -> LinkSteps:
    return links.wire(plan, {"vpc": vpc, "vm": vm}, PATHS)


def requests(steps: list[KernelStep]) -> list[NetlinkRequest]:
    return [step.request for step in steps]


def nothing(wiring: LinkSteps) -> bool:
    return not any(steps for phase in (wiring.remove, wiring.make, wiring.adjust) for steps in phase.values())


def device(data: Mapping[str, object], **values: object) -> Message:
    attributes = [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": [*data.items()]})]
    return decoded(ifinfmsg, index=7, ifname="tun0", mtu=1410, linkinfo={"attrs": attributes}, **values)


def test_a_device_is_read() -> None:
    sources = {"low": 665, "high": 666}
    data = {
        "IFLA_VXLAN_PORT": 665,
        "IFLA_VXLAN_PORT_RANGE": sources,
        "IFLA_VXLAN_COLLECT_METADATA": 1,
        "IFLA_VXLAN_GPE": True,
    }
    link = device(data, ifi_type=0xFFFE, flags=1, ifalias="testbed:tunnel")
    addresses = [
        decoded(ifaddrmsg, index=7, prefixlen=32, local="10.0.0.1"),
        decoded(ifaddrmsg, index=8, prefixlen=32, local="10.0.0.2"),
    ]
    expected = Link(Interface("tun0", frozenset({"10.0.0.1/32"}), None, 1410), "vxlan", "testbed:tunnel", True, 665)

    assert links.parse([link], addresses) == {"tun0": expected}


@pytest.mark.parametrize(("kind", "mac"), [(1, "02:00:00:00:00:01"), (768, None)])
def test_only_the_address_of_an_ethernet_device_is_a_mac(kind: int, mac: str | None) -> None:
    link = device({}, ifi_type=kind, address="02:00:00:00:00:01")

    assert links.parse([link], [])["tun0"].interface.mac == mac


def test_a_plain_vxlan_device_is_not_taken_for_a_tunnel() -> None:
    plain = {"IFLA_VXLAN_PORT": 665, "IFLA_VXLAN_ID": 7, "IFLA_VXLAN_COLLECT_METADATA": 0}

    assert links.parse([device(plain)], [])["tun0"].port is None


def vlan_device(*, parent: int = 3, protocol: int = 0x8100) -> Message:
    attributes = {"IFLA_VLAN_PROTOCOL": protocol, "IFLA_VLAN_ID": 100}
    info = [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", {"attrs": [*attributes.items()]})]
    values = {"index": 8, "ifname": "vlan", "mtu": 1460, "link": parent, "linkinfo": {"attrs": info}}
    return decoded(ifinfmsg, ifi_type=1, address="02:00:00:00:00:02", flags=1, ifalias="testbed:vlan", **values)


def test_a_vlan_is_read_with_its_parent_and_tag() -> None:
    parent = decoded(ifinfmsg, index=3, ifname="eth0", ifi_type=1)
    addresses = [decoded(ifaddrmsg, index=8, prefixlen=30, local="169.254.0.2")]

    assert links.parse([vlan_device(), parent], addresses)["vlan"] == VLAN


@pytest.mark.parametrize("values", [{"parent": 4}, {"protocol": 0x88A8}], ids=["elsewhere", "802.1ad"])
def test_a_vlan_that_is_not_like_ours_has_no_tag(values: dict[str, int]) -> None:
    parent = decoded(ifinfmsg, index=3, ifname="eth0", ifi_type=1)

    assert links.parse([parent, vlan_device(**values)], [])["vlan"].vlan is None


def test_what_is_there_needs_nothing() -> None:
    assert nothing(wire(there(VPC_SIDE), there(VM_SIDE, TUN)))


def test_a_veth_is_made_from_one_end_into_the_other_namespace() -> None:
    wiring = wire(there(), there(TUN))

    [request] = requests(wiring.make["vpc"])
    peer = {"ifname": "eth0", "address": "02:00:00:00:00:02", "mtu": 1460, "net_ns_fd": "/proc/123/ns/net"}
    assert request == NetlinkRequest(
        "link", "add", {"ifname": "vm", "address": "02:00:00:00:00:01", "mtu": 1460, "kind": "veth", "peer": peer}
    )
    assert requests(wiring.adjust["vm"]) == [
        NetlinkRequest("link", "set", {"ifname": "eth0", "ifalias": "testbed:vpc/vm", "state": "up"}),
        NetlinkRequest("addr", "add", {"index": "eth0", "address": "10.0.0.2/32"}),
    ]
    assert [step.reported for step in wiring.adjust["vm"]] == [False, True]


def test_a_tunnel_is_made() -> None:
    wiring = wire(there(VPC_SIDE), there(VM_SIDE))

    [request] = requests(wiring.make["vm"])
    assert (request.subject, request.command, request.values["kind"]) == ("link", "add", "vxlan")
    assert request.values["vxlan_port"] == 665
    assert request.values["vxlan_port_range"] == {"low": 665, "high": 666}


def test_a_vlan_is_made_once_its_parent_is_there_and_up() -> None:
    wiring = wire(there(), there(), TRUNK)

    assert len(wiring.make["vpc"]) == 1
    assert not wiring.make.get("vm")
    adjusted = requests(wiring.adjust["vm"])
    assert adjusted[0] == NetlinkRequest("link", "set", {"ifname": "eth0", "ifalias": "testbed:vpc/vm", "state": "up"})
    assert adjusted[2:] == MAKE_VLAN
    assert [step.change.kind for step in wiring.adjust["vm"] if step.reported] == ["address", "vlan", "address"]


def test_a_vlan_that_is_there_needs_nothing() -> None:
    assert nothing(wire(there(VPC_SIDE), there(VM_SIDE, VLAN), TRUNK))


@pytest.mark.parametrize(
    "other",
    [
        replace(VLAN, vlan=("eth0", 101)),
        replace(VLAN, vlan=("eth1", 100)),
        replace(VLAN, vlan=None),
        replace(VLAN, kind="veth", vlan=None),
    ],
    ids=["another tag", "another parent", "another protocol", "no VLAN"],
)
def test_a_vlan_of_another_kind_is_removed_and_made_anew(other: Link) -> None:
    wiring = wire(there(VPC_SIDE), there(VM_SIDE, other), TRUNK)

    assert requests(wiring.remove["vm"]) == [NetlinkRequest("link", "delete", {"ifname": "vlan"})]
    assert requests(wiring.adjust["vm"]) == MAKE_VLAN


def test_a_vlan_goes_with_its_parent_and_is_made_anew_with_it() -> None:
    wiring = wire(there(), there(VM_SIDE, VLAN), TRUNK)

    assert requests(wiring.remove["vm"]) == [NetlinkRequest("link", "delete", {"ifname": "eth0"})]
    assert requests(wiring.adjust["vm"])[2:] == MAKE_VLAN


def test_a_vlan_that_the_plan_does_not_have_is_removed() -> None:
    stranger = Link(Interface("x"), "vlan")
    wiring = wire(there(VPC_SIDE, stranger), there(VM_SIDE, TUN, stranger, VLAN))

    assert requests(wiring.remove["vpc"]) == [NetlinkRequest("link", "delete", {"ifname": "x"})]
    assert requests(wiring.remove["vm"]) == [NetlinkRequest("link", "delete", {"ifname": "vlan"})]


def test_half_a_veth_is_removed_and_made_anew() -> None:
    wiring = wire(there(VPC_SIDE), there(TUN))

    assert requests(wiring.remove["vpc"]) == [NetlinkRequest("link", "delete", {"ifname": "vm"})]
    assert len(wiring.make["vpc"]) == 1


def test_a_veth_to_another_place_is_removed_at_both_ends() -> None:
    wiring = wire(there(replace(VPC_SIDE, alias="testbed:other/eth0")), there(VM_SIDE, TUN))

    assert requests(wiring.remove["vpc"]) == [NetlinkRequest("link", "delete", {"ifname": "vm"})]
    assert requests(wiring.remove["vm"]) == [NetlinkRequest("link", "delete", {"ifname": "eth0"})]
    assert len(wiring.make["vpc"]) == 1


def test_unknown_veths_go_from_our_namespaces_and_only_ours_from_a_nodes() -> None:
    stranger = Link(Interface("x"), "veth")
    former = Link(Interface("y"), "veth", "testbed:gone/z")
    wiring = wire(there(VPC_SIDE, stranger), there(VM_SIDE, TUN, stranger, former))

    assert requests(wiring.remove["vpc"]) == [NetlinkRequest("link", "delete", {"ifname": "x"})]
    assert requests(wiring.remove["vm"]) == [NetlinkRequest("link", "delete", {"ifname": "y"})]


def test_devices_of_other_kinds_are_left_alone() -> None:
    assert nothing(wire(there(VPC_SIDE, Link(Interface("tunl0"), "ipip")), there(VM_SIDE, TUN)))


def test_only_what_differs_is_adjusted() -> None:
    drifted = replace(VM_SIDE, interface=replace(VM_SIDE.interface, mtu=1500, addresses=frozenset({"10.0.0.3/32"})))
    wiring = wire(there(VPC_SIDE), there(drifted, TUN))

    assert not wiring.remove
    assert requests(wiring.adjust["vm"]) == [
        NetlinkRequest("link", "set", {"ifname": "eth0", "mtu": 1460}),
        NetlinkRequest("addr", "delete", {"index": "eth0", "address": "10.0.0.3/32"}),
        NetlinkRequest("addr", "add", {"index": "eth0", "address": "10.0.0.2/32"}),
    ]
