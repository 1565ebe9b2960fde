"""Points in time, as Google's APIs print them (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

_PACIFIC = timezone(timedelta(hours=-8))


def timestamp(seconds: float) -> str:
    """A `google.protobuf.Timestamp`: `2026-11-24T09:57:14.123456Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def compute_timestamp(seconds: float) -> str:
    """As Compute Engine prints it: `2026-11-24T01:57:14.123-08:00`."""
    return datetime.fromtimestamp(seconds, _PACIFIC).isoformat(timespec="milliseconds")
