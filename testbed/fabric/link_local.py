"""The metadata server's address, which every network and every region's infrastructure has in itself (behaviour 4.7.1).

It is local where a NIC's packets come in first, so no route, tunnel or firewall rule can lead them elsewhere (behaviour
4.2.1), and it is told of by /etc/hosts.  Who asks is known by the address that it asks from.  So what could
not be answered there is dropped, even from devices by which packets of any source may come in (`Wiring.anti_spoofing`).
"""

from __future__ import annotations

from types import MappingProxyType

from testbed.model.core.ranges import METADATA_SERVER

PREFIX = f"{METADATA_SERVER}/32"
PORT = 80
HOSTS = MappingProxyType(dict.fromkeys(("metadata.google.internal", "metadata"), str(METADATA_SERVER)))
"""What clients call it."""


def answered(senders: str, tunnel: str | None = None) -> str:
    """The rule of a segment's INPUT chain that lets an ipset of addresses reach it, but not by a `tunnel`."""
    others = f"! -i {tunnel} " if tunnel else ""
    return f"-d {PREFIX} {others}-p tcp -m tcp --dport {PORT} -m set --match-set {senders} src -j ACCEPT"
