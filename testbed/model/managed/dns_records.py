"""What record sets may hold: names, types and the data of each type, as in a zone file (RFC 1035, section 5).

A DNS library reads the data, and writes what the name server gets: so that refuses nothing which was accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import dns.exception
import dns.rdata
import dns.rdataclass

DNS_NAME = re.compile(r"(?=.{1,254}$)(\*\.)?([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?\.)+")
"""Fully qualified: with a dot at its end."""
TYPES = frozenset(
    {
        "A",
        "AAAA",
        "CAA",
        "CNAME",
        "DNSKEY",
        "DS",
        "HTTPS",
        "IPSECKEY",
        "MX",
        "NAPTR",
        "NS",
        "PTR",
        "SOA",
        "SPF",
        "SRV",
        "SSHFP",
        "SVCB",
        "TLSA",
        "TXT",
        "ALIAS",
    }
)
"""The types of record that Cloud DNS takes (recalled)."""
_STRING = r'("([^"\\\x00-\x1f\x7f-\uffff]|\\["\\]|\\[0-9]{3}){0,255}"|[^"\\;()\s\x00-\x1f\x7f-\uffff]{1,255})'
_TEXT = re.compile(rf"{_STRING}( +{_STRING})*")
_CAA = re.compile(r'[0-9]{1,3} +[a-zA-Z0-9]{1,15} +("[^"\\\x00-\x1f\x7f-\uffff]{0,255}"|[!-~]{1,255})')


def _address(kind: type[IPv4Address | IPv6Address]) -> Callable[[str], bool]:
    def is_address(text: str) -> bool:
        try:
            kind(text)
        except AddressValueError:
            return False
        return "%" not in text

    return is_address


def is_name(text: str) -> bool:
    """Whether it is a fully qualified name, of whatever case."""
    return DNS_NAME.fullmatch(text.lower()) is not None or text == "."


def _numbers_and_name(count: int) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        *numbers, name = text.split(" ")
        known = [number for number in numbers if number]
        return len(known) == count and all(map(_is_16_bits, known)) and is_name(name)

    return fits


def _is_16_bits(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 1 << 16


SERVED: Mapping[str, Callable[[str], bool]] = {
    "A": _address(IPv4Address),
    "AAAA": _address(IPv6Address),
    "CNAME": is_name,
    "NS": is_name,
    "PTR": is_name,
    "MX": _numbers_and_name(1),
    "SRV": _numbers_and_name(3),
    "TXT": lambda text: _TEXT.fullmatch(text) is not None,
    "SPF": lambda text: _TEXT.fullmatch(text) is not None,
    "CAA": lambda text: _CAA.fullmatch(text) is not None,
}
"""What the data of a type looks like, for the types that the testbed's name server answers; the others are kept."""


def is_data(kind: str, text: str) -> bool:
    """Whether a record of a type may have this data; of what is only kept, it must not be empty."""
    fits = SERVED.get(kind)
    return bool(text) if fits is None else fits(text) and _read(kind, text) is not None


def canonical(kind: str, text: str) -> str:
    """The data of a record that is served, as a name server reads it: on one line, quoted as far as it has to be.

    Raises:
        ValueError: it is no such data.
    """
    found = _read(kind, text)
    if found is None:
        raise ValueError(f"{text!r} is not the data of a record of type {kind}")
    return found


@lru_cache(4096)
def _read(kind: str, text: str) -> str | None:
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, kind, text, relativize=False).to_text()
    except (dns.exception.DNSException, ValueError):
        return None
