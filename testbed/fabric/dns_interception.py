"""What becomes of queries to 169.254.169.254, port 53, in the tables of a segment."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.fabric import link_local

_PORT = 53


def translated(address: str, asking: str = "") -> Iterator[str]:
    """Rules that translate queries to an address of the name server; `asking` matches those that it is for."""
    for protocol in ("udp", "tcp"):
        to = f"-d {link_local.PREFIX} -p {protocol} -m {protocol} --dport {_PORT}"
        yield f"{to} {asking}-j DNAT --to-destination {address}"


def passing(device: str) -> Iterator[str]:
    """Rules that let translated queries through to the name server, and nothing else, before any firewall rule.

    So they pass whatever the firewall says (behaviour 4.2.1).
    """
    yield f"-o {device} -m conntrack --ctstate DNAT -j ACCEPT"
    yield f"-o {device} -j DROP"


def asking(device: str, internet: str) -> str:
    """A rule for what the name server asks others by the network, not the internet; receivers' rules come before."""
    return f"-i {device} ! -o {internet} -j ACCEPT"
