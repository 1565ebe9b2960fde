"""How the facts of a testbed are shown: which sections there are, and the headings of their columns.

This module is light: a command needs no more of the facts than this.
"""

from __future__ import annotations

from collections.abc import Mapping

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "connectors": {
        "name": "connector",
        "region": "region",
        "network": "network",
        "ipCidrRange": "range",
        "machineType": "machine type",
        "capacity": "capacity",
        "minInstances": "min",
        "maxInstances": "max",
        "state": "state",
    },
    "instances": {
        "name": "instance",
        "address": "address",
        "health": "health",
        "flows": "flows",
        "bytes": "bytes",
        "dropped": "dropped",
    },
    "natGateways": {
        "name": "NAT gateway",
        "router": "router",
        "region": "region",
        "addresses": "addresses",
        "ports": "ports per VM",
        "dropped": "out of resources",
    },
    "firewallPolicies": {
        "name": "firewall policy",
        "region": "region",
        "networks": "networks",
        "rules": "rules",
        "met": "connections",
    },
    "services": {"name": "service", "kind": "kind", "connector": "connector", "egress": "egress", "url": "url"},
    "nodes": {"name": "node", "kind": "kind", "addresses": "addresses", "state": "state"},
}
"""By section, in their order: the heading of each fact that a table shows."""
TITLES: Mapping[str, str] = {"natGateways": "NAT gateways", "firewallPolicies": "firewall policies"}
"""Titles of sections, where they are not the words of the facts."""
