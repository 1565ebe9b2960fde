from __future__ import annotations

from dataclasses import replace

from testbed.fabric.plan import End, Interface, Namespace, Plan, Tunnel, Veth
from testbed.kernel import links
from testbed.kernel.change import Step
from testbed.kernel.links import Link, Links, Wiring

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


def there(*devices: Link) -> Links:
    return {device.interface.name: device for device in (LO, *devices)}


def wire(vpc: Links, vm: Links, plan: Plan = PLAN) -> Wiring:
    return links.wire(plan, {"vpc": vpc, "vm": vm}, PATHS)


def commands(steps: list[Step]) -> list[str]:
    return [step.command for step in steps]


def nothing(wiring: Wiring) -> bool:
    return not any(steps for phase in (wiring.remove, wiring.make, wiring.adjust) for steps in phase.values())


def test_a_device_is_read() -> None:
    entry = {
        "ifname": "tun0",
        "flags": ["POINTOPOINT", "NOARP", "UP", "LOWER_UP"],
        "mtu": 1410,
        "ifalias": "testbed:tunnel",
        "linkinfo": {"info_kind": "vxlan", "info_data": {"external": True, "gpe": True, "port": 665}},
        "addr_info": [
            {"family": "inet", "local": "10.0.0.1", "prefixlen": 32},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
        ],
    }
    expected = Link(Interface("tun0", frozenset({"10.0.0.1/32"}), None, 1410), "vxlan", "testbed:tunnel", True, 665)

    assert links.parse([entry]) == {"tun0": expected}


def test_a_plain_vxlan_device_is_not_taken_for_a_tunnel() -> None:
    entry = {
        "ifname": "tun0",
        "flags": [],
        "mtu": 1410,
        "linkinfo": {"info_kind": "vxlan", "info_data": {"id": 7, "port": 665}},
        "addr_info": [],
    }
    assert links.parse([entry])["tun0"].port is None


def test_what_is_there_needs_nothing() -> None:
    assert nothing(wire(there(VPC_SIDE), there(VM_SIDE, TUN)))


def test_a_veth_is_made_from_one_end_into_the_other_namespace() -> None:
    wiring = wire(there(), there(TUN))

    [command] = commands(wiring.make["vpc"])
    assert command == (
        "link add vm address 02:00:00:00:00:01 mtu 1460 type veth "
        "peer name eth0 address 02:00:00:00:00:02 mtu 1460 netns /proc/123/ns/net"
    )
    assert commands(wiring.adjust["vm"]) == [
        "link set dev eth0 alias testbed:vpc/vm up",
        "address add 10.0.0.2/32 dev eth0",
    ]


def test_a_tunnel_is_made() -> None:
    wiring = wire(there(VPC_SIDE), there(VM_SIDE))

    assert commands(wiring.make["vm"]) == ["link add tun0 mtu 1410 type vxlan external gpe dstport 665"]


def test_half_a_veth_is_removed_and_made_anew() -> None:
    wiring = wire(there(VPC_SIDE), there(TUN))

    assert commands(wiring.remove["vpc"]) == ["link delete vm"]
    assert len(wiring.make["vpc"]) == 1


def test_a_veth_to_another_place_is_removed_at_both_ends() -> None:
    wiring = wire(there(replace(VPC_SIDE, alias="testbed:other/eth0")), there(VM_SIDE, TUN))

    assert commands(wiring.remove["vpc"]) == ["link delete vm"]
    assert commands(wiring.remove["vm"]) == ["link delete eth0"]
    assert len(wiring.make["vpc"]) == 1


def test_unknown_veths_go_from_our_namespaces_and_only_ours_from_a_nodes() -> None:
    stranger = Link(Interface("x"), "veth")
    former = Link(Interface("y"), "veth", "testbed:gone/z")
    wiring = wire(there(VPC_SIDE, stranger), there(VM_SIDE, TUN, stranger, former))

    assert commands(wiring.remove["vpc"]) == ["link delete x"]
    assert commands(wiring.remove["vm"]) == ["link delete y"]


def test_devices_of_other_kinds_are_left_alone() -> None:
    assert nothing(wire(there(VPC_SIDE, Link(Interface("tunl0"), "ipip")), there(VM_SIDE, TUN)))


def test_only_what_differs_is_adjusted() -> None:
    drifted = replace(VM_SIDE, interface=replace(VM_SIDE.interface, mtu=1500, addresses=frozenset({"10.0.0.3/32"})))
    wiring = wire(there(VPC_SIDE), there(drifted, TUN))

    assert not wiring.remove
    assert commands(wiring.adjust["vm"]) == [
        "link set dev eth0 mtu 1460",
        "address delete 10.0.0.3/32 dev eth0",
        "address add 10.0.0.2/32 dev eth0",
    ]
