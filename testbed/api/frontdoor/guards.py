"""Refuses what no client of Google's sends: requests for foreign hosts, and those that a web page makes."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.api.frontdoor.hosts import is_served
from testbed.errors import PermissionDenied


def check_hosts(*hosts: str) -> None:
    """Let a request pass whose hosts are all ours.

    Raises:
        PermissionDenied: one is not (DNS rebinding).
    """
    for host in hosts:
        if not is_served(host):
            raise PermissionDenied(f"host {host!r}: the testbed does not answer for it")


def check_caller(headers: Mapping[str, object]) -> None:
    """Let a request pass that no web page has made; names of headers are in lower case.

    Raises:
        PermissionDenied: one has (cross-site request forgery).
    """
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise PermissionDenied("request of a web page: the testbed does not answer those")
