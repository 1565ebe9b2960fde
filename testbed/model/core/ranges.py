"""IPv4 ranges that mean something to Google's network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from testbed.errors import GoogleText


def _networks(*ranges: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(text) for text in ranges)


RFC1918 = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
RFC6598 = _networks("100.64.0.0/10")
GOOGLE_API_VIPS = _networks("199.36.153.4/30", "199.36.153.8/30")
"""restricted.googleapis.com and private.googleapis.com (behaviour 4.8.2)."""

PUBLIC_GOOGLE_API = IPv4Address("203.0.113.1")
"""Where the testbed's internet has Google's APIs (our choice; Google's own public addresses are many)."""

GOOGLE_APIS = (*GOOGLE_API_VIPS, IPv4Network(PUBLIC_GOOGLE_API))
"""Every address at which Google's APIs are reached from inside a network."""

PRIVATE_RANGES_ONLY = RFC1918 + RFC6598 + tuple(reversed(GOOGLE_API_VIPS))
"""What egress setting private-ranges-only sends through the connector.

The first five rows of the table in behaviour 3.2.2.  No text of Google's lists the exact ranges: the RFC 1918 and
RFC 6598 rows are documented in words, the two VIPs are likely.
"""

SERVERLESS = IPv4Network("35.199.224.0/19")
"""The serverless infrastructure (behaviour 2.1.4)."""

HEALTH_CHECKS = _networks("35.191.0.0/16", "35.191.192.0/18", "130.211.0.0/22")
"""Where health-check probes come from (behaviour 2.1.6)."""

CLOUD_DNS = IPv4Network("35.199.192.0/19")
"""Where queries come from that Cloud DNS forwards into a network (behaviour 4.3.11)."""

SPECIAL_PATHS = (SERVERLESS, *_networks("35.191.0.0/16", "130.211.0.0/22", "35.235.240.0/20"), CLOUD_DNS)
"""Ranges with special return paths, which no route overrides (behaviour 4.3.11): serverless, probes, IAP, DNS."""

METADATA_SERVER = IPv4Address("169.254.169.254")

INTERNAL = RFC1918 + RFC6598 + _networks("240.0.0.0/4")
"""Destinations that never leave by the default internet gateway (behaviour 4.3.9; class E recalled)."""

PRIVATE = INTERNAL + _networks(
    "192.0.0.0/24",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
)
"""Ranges of subnets that are not privately used public ones (behaviour 4.4.4, recalled)."""

PROHIBITED = _networks(
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "199.36.153.4/30",
    "199.36.153.8/30",
)
"""Ranges that no subnet may touch (behaviour 4.4.4, recalled)."""

SMALLEST_SUBNET = 29
LARGEST_SUBNET = 4
"""Prefix lengths of the smallest and largest subnet (behaviour 4.4.2, recalled)."""


def _range(value: str) -> str:
    try:
        return str(IPv4Network(value))
    except ValueError as error:
        raise ValueError(GoogleText(f"Must be a valid IPV4 CIDR address range. ({error})")) from None


def _address(value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError as error:
        raise ValueError(f"must be an IPv4 address: {error}") from None


def _subnet(value: str) -> str:
    network = IPv4Network(_range(value))
    if not LARGEST_SUBNET <= network.prefixlen <= SMALLEST_SUBNET:
        raise ValueError(
            f"a subnet range is between /{SMALLEST_SUBNET} and /{LARGEST_SUBNET}, not {value}"  # behaviour 4.4.2
        )
    for prohibited in (*PROHIBITED, SERVERLESS, *HEALTH_CHECKS):
        if network.overlaps(prohibited):
            raise ValueError(f"{value} overlaps {prohibited}, which no subnet may use")  # behaviour 4.4.4
    return str(network)


_DOTTED = r"^\d+\.\d+\.\d+\.\d+"
_RANGE_SCHEMA = WithJsonSchema({"type": "string", "pattern": rf"{_DOTTED}(/\d+)?$"})

Range = Annotated[str, AfterValidator(_range), _RANGE_SCHEMA]
Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": rf"{_DOTTED}$"})]
SubnetRange = Annotated[str, AfterValidator(_subnet), _RANGE_SCHEMA]


def usable(cidr: str) -> Iterator[IPv4Address]:
    """The addresses of a subnet that a NIC can have: all but the first two and the last two (behaviour 4.4.5)."""
    network = IPv4Network(cidr)
    first = int(network.network_address) + 2
    last = int(network.broadcast_address) - 2
    return (IPv4Address(number) for number in range(first, last + 1))


def is_usable(cidr: str, address: str) -> bool:
    """Whether a NIC of a subnet can have an address."""
    network = IPv4Network(cidr)
    return int(network.network_address) + 2 <= int(IPv4Address(address)) <= int(network.broadcast_address) - 2


def gateway(cidr: str) -> IPv4Address:
    """The subnet's gateway: its second address (behaviour 4.4.5)."""
    return IPv4Network(cidr).network_address + 1


def inside(cidr: str, ranges: Iterable[IPv4Network]) -> bool:
    """Whether a range is one of some ranges, or lies in one."""
    network = IPv4Network(cidr)
    return any(network.subnet_of(known) for known in ranges)


def contains(ranges: Iterable[IPv4Network], address: IPv4Address) -> bool:
    """Whether one of the ranges has the address."""
    return any(address in network for network in ranges)
