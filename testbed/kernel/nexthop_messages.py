# mypy: allow-subclassing-any
"""The messages of rtnetlink(7) that pyroute2 lacks: nexthop objects with IP encapsulation, and routes by way of them.

The numbers and layouts are those of linux/nexthop.h, linux/lwtunnel.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from socket import inet_aton, inet_ntoa
from typing import Any

from pyroute2.netlink import nla, nla_base_string, nlmsg

from testbed.kernel import attributes

RTM_NEWNEXTHOP = 104
RTM_DELNEXTHOP = 105
RTM_GETNEXTHOP = 106
_GATEWAY = 5  # RTA_GATEWAY


class _Nested(nla):
    """Attributes inside an attribute, given as `message` takes them."""

    def setvalue(self, value: Mapping[str, object]) -> None:
        attributes = [(self.name2nla(name), each) for name, each in value.items() if each is not None]
        super().setvalue({"attrs": attributes})


class _IpEncapsulation(_Nested):
    prefix = "LWTUNNEL_IP_"
    nla_map = (
        (1, "LWTUNNEL_IP_ID", "be64"),
        (2, "LWTUNNEL_IP_DST", "ip4addr"),
        (3, "LWTUNNEL_IP_SRC", "ip4addr"),
    )


class NexthopMessage(nlmsg):
    """`struct nhmsg` and its attributes."""

    prefix = "NHA_"
    fields = (("family", "B"), ("scope", "B"), ("protocol", "B"), ("reserved", "B"), ("flags", "I"))
    nla_map = (
        (1, "NHA_ID", "uint32"),
        (5, "NHA_OIF", "uint32"),
        (7, "NHA_ENCAP_TYPE", "uint16"),
        (8, "NHA_ENCAP", "encapsulation | nested"),
    )
    encapsulation = _IpEncapsulation


class _Hops(nla_base_string):
    """An array of `struct rtnexthop`, each with its gateway, as a tuple of (device's number, gateway) pairs."""

    hop = struct.Struct("HBBi")
    gateway = struct.Struct("HH4s")
    onlink = 4  # RTNH_F_ONLINK

    def encode(self) -> None:
        size = self.hop.size + self.gateway.size
        hops: tuple[tuple[int, str], ...] = self.value
        self["value"] = b"".join(
            self.hop.pack(size, self.onlink, 0, number) + self.gateway.pack(self.gateway.size, _GATEWAY, inet_aton(via))
            for number, via in hops
        )
        super().encode()

    def decode(self) -> None:
        super().decode()
        data: bytes = self["value"]
        found = []
        while len(data) >= self.hop.size:
            size, _, _, number = self.hop.unpack_from(data)
            found.append((number, _gateway(data[self.hop.size : size])))
            data = data[size:]  # its attributes end at a multiple of four
        self.value = tuple(found)


def _gateway(data: bytes) -> str:
    """The gateway among the attributes of a next hop; nothing, if it has none."""
    found = dict(attributes.unpack(data)).get(_GATEWAY)
    return "" if found is None else inet_ntoa(found)


class RouteMessage(nlmsg):
    """`struct rtmsg` and its attributes, with that of a nexthop object (pyroute2's own class ends before it)."""

    prefix = "RTA_"
    fields = (
        ("family", "B"),
        ("dst_len", "B"),
        ("src_len", "B"),
        ("tos", "B"),
        ("_table", "B"),
        ("protocol", "B"),
        ("scope", "B"),
        ("type", "B"),
        ("flags", "I"),
    )
    nla_map = (
        (1, "RTA_DST", "ip4addr"),
        (4, "RTA_OIF", "uint32"),
        (5, "RTA_GATEWAY", "ip4addr"),
        (6, "RTA_PRIORITY", "uint32"),
        (7, "RTA_PREFSRC", "ip4addr"),
        (9, "RTA_MULTIPATH", "hops"),
        (15, "RTA_TABLE", "uint32"),
        (30, "RTA_NH_ID", "uint32"),
    )
    hops = _Hops


def message(kind: type[Any], values: Mapping[str, object]) -> Any:
    """A message with these fields and attributes; attributes are named without their prefix, and None is left out."""
    made = kind()
    fields = {name for name, _ in made.fields}
    for name, value in values.items():
        if name in fields:
            made[name] = value
        elif value is not None:
            made["attrs"].append((made.name2nla(name), value))
    return made
