"""The network `default` that a new project has (behaviour 4.1.19), as a topology file would say it."""

from __future__ import annotations

from typing import Any

_NAME = "default"
_PRIORITY = 65534
_ANYWHERE = "0.0.0.0/0"
_INTERNAL = "10.128.0.0/9"


def default_network() -> dict[str, Any]:
    """The section `compute` with the network, in auto mode, and its four firewall rules."""
    return {
        "networks": [{"name": _NAME, "autoCreateSubnetworks": True, "description": "Default network for the project"}],
        "firewalls": [
            _rule("icmp", "Allow ICMP from anywhere", "icmp"),
            _rule(
                "internal",
                "Allow internal traffic on the default network",
                "tcp:0-65535",
                "udp:0-65535",
                "icmp",
                source=_INTERNAL,
            ),
            _rule("rdp", "Allow RDP from anywhere", "tcp:3389"),
            _rule("ssh", "Allow SSH from anywhere", "tcp:22"),
        ],
    }


def _rule(name: str, description: str, *allowed: str, source: str = _ANYWHERE) -> dict[str, Any]:
    return {
        "name": f"{_NAME}-allow-{name}",
        "description": description,
        "network": _NAME,
        "priority": _PRIORITY,
        "allow": list(allowed),
        "sourceRanges": [source],
    }
