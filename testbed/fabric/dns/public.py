"""The names that everybody sees: those of Google's APIs and services, and the root of the testbed's internet.

They have public addresses, so with private-ranges-only they are not sent to a network (behaviour 3.2.5), unless a
private zone of the network says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testbed.fabric.dns.zones import ROOT, RecordSet, Zone
from testbed.model.core.ranges import GOOGLE_API_VIPS, METADATA_SERVER, PUBLIC_GOOGLE_API

GOOGLE_APIS = "googleapis.com."
SERVICES = (
    "run.app.",
    "cloudfunctions.net.",
    "appspot.com.",
    "accounts.google.com.",
    "oauth2.google.com.",
    "gcr.io.",
    "pkg.dev.",
)
"""Domains of services that are served at the public address of the APIs, as they are at the testbed's door."""
METADATA = "metadata.google.internal."


def zones() -> Iterator[Zone]:
    """All of them."""
    public = (str(PUBLIC_GOOGLE_API),)
    restricted, private = ([str(address) for address in cidr] for cidr in GOOGLE_API_VIPS)
    yield Zone(ROOT)
    yield Zone(
        GOOGLE_APIS,
        (
            *_all(GOOGLE_APIS, public),
            RecordSet(f"private.{GOOGLE_APIS}", "A", tuple(private)),
            RecordSet(f"restricted.{GOOGLE_APIS}", "A", tuple(restricted)),
        ),
    )
    yield from (Zone(name, tuple(_all(name, public))) for name in SERVICES)
    yield Zone("google.internal.", (RecordSet(METADATA, "A", (str(METADATA_SERVER),)),))


def _all(zone: str, addresses: Iterable[str]) -> Iterator[RecordSet]:
    """A zone's own name, and every name below it."""
    yield from (RecordSet(name, "A", tuple(addresses)) for name in (zone, f"*.{zone}"))
