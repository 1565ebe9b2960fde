"""Compiles what keeps a flow on one of several equal next hops (ECMP): the first packet's, as long as that is there.

The kernel chooses for the first packet, by a hash of its 5-tuple.  Behind that choice a connection mark notes the
device by which the packet leaves, for each direction of the connection.  Further packets of the direction carry the
mark, and a policy rule leads it to a table in which the device is the only next hop.  So no other hash and no further
next hop moves a flow, not even the second one; if its next hop is gone, the kernel chooses anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from testbed.fabric.plan import Chain, Mark, Table

SYSCTLS = MappingProxyType({"net.ipv4.fib_multipath_hash_policy": "3", "net.ipv4.fib_multipath_hash_fields": str(0x37)})
"""A hash of what each packet carries: addresses, protocol, ports (ip-sysctl of the kernel's documentation).

Policy 1 takes the hash of the sender's socket, if it has one, and Linux changes that when a retransmission times out.
"""
_DIRECTIONS = MappingProxyType({"ORIGINAL": 1, "REPLY": 8})
"""Where the number of a device begins in a mark, for each direction; the lowest bit has another meaning (firewall)."""
_MOST = 0x7F
"""The largest number of a device."""


def number(device: str, taken: Mapping[str, int]) -> int:
    """The number of a device that is a next hop, by its name: that of others does not matter unless it is equal."""
    if device in taken:
        return taken[device]
    others = {*taken.values()}
    found = hashlib.sha256(device.encode()).digest()[0] % _MOST + 1
    while found in others and len(others) < _MOST:
        found = found % _MOST + 1
    return found


def marks(device: int) -> Iterator[Mark]:
    """The marks of the packets that are to leave by a device, of this number."""
    return (Mark(device << first, _MOST << first) for first in _DIRECTIONS.values())


def table(devices: Mapping[str, int]) -> Table:
    """The table that notes by which of these devices, with their numbers, a flow has left, and marks what follows."""
    restored = (
        f"-m conntrack --ctdir {direction} -j CONNMARK --restore-mark --nfmask {mask:#x} --ctmask {mask:#x}"
        for direction, mask in ((direction, _MOST << first) for direction, first in _DIRECTIONS.items())
    )
    noted = (
        f"-o {device} -m conntrack --ctdir {direction} -j CONNMARK --set-xmark {mark.value:#x}/{mark.mask:#x}"
        for device, its in sorted(devices.items())
        for direction, mark in zip(_DIRECTIONS, marks(its), strict=True)
    )
    chains = (Chain("PREROUTING", "ACCEPT", tuple(restored)), Chain("POSTROUTING", "ACCEPT", tuple(noted)))
    return Table("mangle", chains)
