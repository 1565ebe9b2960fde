"""Which names the control plane answers to, and which API a name means."""

from __future__ import annotations

import ipaddress

GOOGLE = "googleapis.com"
_LOCAL = "localhost"
WORKLOADS = ("run.app", "cloudfunctions.net", "appspot.com")
"""Where Google's serverless products serve what was deployed."""
_WWW = frozenset({"www", "oauth2", "accounts", "sts"})
"""Hosts that serve more than one API."""


def without_port(host: str) -> str:
    """The name or address in a `Host` header or the target of a CONNECT, in lower case: `[::1]:80` is `::1`."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def is_served(host: str) -> bool:
    """Whether requests to a host are ours: Google's API hosts, its serverless ones, and this machine's loopback names.

    Whatever else a browser or a proxy's user names is refused (DNS rebinding; the door is no way to the internet).
    """
    name = without_port(host)
    if name in {_LOCAL, GOOGLE} or name.endswith(f".{GOOGLE}") or is_workload(name):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_workload(host: str) -> bool:
    """Whether a host is one of a service that was deployed, not of an API."""
    return without_port(host).endswith(tuple(f".{domain}" for domain in WORKLOADS))


def api_of(host: str) -> str | None:
    """The API that a host name means: `run` for `us-central1-run.googleapis.com`; None where it does not tell."""
    name = without_port(host)
    if not name.endswith(f".{GOOGLE}"):
        return None
    label = name.split(".")[0].rpartition("-")[2]
    return None if label in _WWW else label
