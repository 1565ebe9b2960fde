"""A network and a site that are joined by an HA VPN: two tunnels, each with a BGP session of its own."""

from __future__ import annotations

from typing import Any

from tests.e2e.small import small

CLOUD, SITE = 64512, 65010
"""The ASNs of the two sides."""
ADDRESSES = ("198.51.100.10", "198.51.100.11")
"""Of the gateway's two interfaces."""
OFFICE = "203.0.113.50"
"""Of the site's gateway, which has one address for both tunnels."""
HOST = "192.168.10.10"
SITE_RANGE = "192.168.10.0/24"
SECRET = "a secret {{ of }} the tunnels"


def hybrid(name: str, *, meds: tuple[int, int] = (100, 100), service: bool = False) -> dict[str, Any]:
    """Such a topology, with a service behind a connector or without; `meds` are what the site says of its routes."""
    made = small(name)
    if not service:
        del made["vpcaccess"], made["run"]
    made["compute"] |= {
        "firewalls": [
            {
                "name": "from-site",
                "network": "vpc",
                "sourceRanges": [SITE_RANGE],
                "allowed": [
                    {"IPProtocol": "tcp"},
                    {"IPProtocol": "icmp"},
                ],
            }
        ],
        "vpnGateways": [
            {
                "name": "ha",
                "network": "vpc",
                "vpnInterfaces": [{"id": index, "ipAddress": address} for index, address in enumerate(ADDRESSES)],
            }
        ],
        "externalVpnGateways": [{"name": "office", "interfaces": [{"id": 0, "ipAddress": OFFICE}]}],
        "vpnTunnels": [
            {
                "name": f"tunnel-{index}",
                "vpnGateway": "ha",
                "vpnGatewayInterface": index,
                "router": "router",
                "peerExternalGateway": "office",
                "sharedSecret": SECRET,
            }
            for index in range(2)
        ],
        "routers": [
            {
                "name": "router",
                "network": "vpc",
                "bgp": {"asn": CLOUD},
                "interfaces": [
                    {"name": f"if-{index}", "ipRange": f"169.254.{index}.1/30", "linkedVpnTunnel": f"tunnel-{index}"}
                    for index in range(2)
                ],
                "bgpPeers": [
                    {
                        "name": f"office-{index}",
                        "interfaceName": f"if-{index}",
                        "peerIpAddress": f"169.254.{index}.2",
                        "peerAsn": SITE,
                    }
                    for index in range(2)
                ],
            }
        ],
    }
    made["onPrem"] = {
        "sites": [
            {
                "name": "office",
                "range": SITE_RANGE,
                "bgp": {"asn": SITE},
                "gateway": {
                    "name": "office-gateway",
                    "externalAddress": OFFICE,
                    "internalAddress": "192.168.10.1",
                    "tunnels": [
                        {
                            "peerIp": address,
                            "sharedSecret": SECRET,
                            "bgp": {
                                "ipRange": f"169.254.{index}.2/30",
                                "peerIpAddress": f"169.254.{index}.1",
                                "peerAsn": CLOUD,
                                "advertisedRoutePriority": meds[index],
                            },
                        }
                        for index, address in enumerate(ADDRESSES)
                    ],
                },
                "hosts": [{"name": "office-host", "address": HOST}],
            }
        ]
    }
    return made
