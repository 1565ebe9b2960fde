"""Why packets are dropped: one row for each cause that the kernel or the cloud's rules know.

A rule of the kernel's firewall that drops packets carries the id of its cause as comment, so the counter of the rule
says how many it has dropped.  Google's causes are those of Connectivity Tests (behaviour 7.1.6, 7.1.7); where Google
has none for something, the row has the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import auto

from testbed.model.core.enumeration import Enumeration


class Cause(Enumeration):
    """Why a packet is dropped, in the words of Connectivity Tests (behaviour 7.1.6, 7.1.7)."""

    CLOUD_NAT_NO_ADDRESSES = auto()
    FIREWALL_RULE = auto()
    FOREIGN_IP_DISALLOWED = auto()
    INSTANCE_NOT_RUNNING = auto()
    NO_ADVERTISED_ROUTE_TO_GCP_DESTINATION = auto()
    NO_EXTERNAL_ADDRESS = auto()
    NO_KNOWN_ROUTE_FROM_PEERED_NETWORK_TO_DESTINATION = auto()
    NO_ROUTE = auto()
    NO_TRAFFIC_SELECTOR_TO_GCP_DESTINATION = auto()
    PRIVATE_GOOGLE_ACCESS_DISALLOWED = auto()
    PRIVATE_TRAFFIC_TO_INTERNET = auto()
    REDIS_INSTANCE_CONNECTING_FROM_PUPI_ADDRESS = auto()
    REDIS_INSTANCE_UNSUPPORTED_PORT = auto()
    REDIS_INSTANCE_UNSUPPORTED_PROTOCOL = auto()
    ROUTE_BLACKHOLE = auto()
    ROUTE_NEXT_HOP_IP_ADDRESS_NOT_RESOLVED = auto()
    ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED = auto()
    ROUTING_LOOP = auto()
    TRAFFIC_TYPE_BLOCKED = auto()
    UNKNOWN_EXTERNAL_ADDRESS = auto()
    UNKNOWN_INTERNAL_ADDRESS = auto()
    VPC_CONNECTOR_NOT_RUNNING = auto()
    VPC_CONNECTOR_NOT_SET = auto()
    VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED = auto()
    VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH = auto()
    VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH = auto()


@dataclass(frozen=True, slots=True)
class DropCause:
    """One cause for which a rule of the kernel's firewall drops packets."""

    id: str
    """The comment of the rule, or its beginning.  A user's rule that denies carries its own name instead."""
    google: Cause
    text: str
    """What has happened to the packet, as a sentence without its full stop."""
    remedy: str
    """What lets it pass."""


ANTI_SPOOFING = DropCause(
    "anti-spoofing",
    Cause.FOREIGN_IP_DISALLOWED,
    "the packet's source address is not one of its sender's interface",
    "send from the interface's own address, or set canIpForward on the VM",
)
FOREIGN_IP = DropCause(
    "foreign-ip-disallowed",
    Cause.FOREIGN_IP_DISALLOWED,
    "a route led the packet to a VM that may not forward",
    "set canIpForward on the VM that is the route's next hop",
)
DENIED = DropCause(
    "firewall-rule",
    Cause.FIREWALL_RULE,
    "a firewall rule denies the packet",
    "change that rule, or add one with a smaller priority number that allows it",
)
IMPLIED_DENY_INGRESS = DropCause(
    "implied-deny-ingress",
    Cause.FIREWALL_RULE,
    "no firewall rule of the network allows the packet to its receiver",
    "add an ingress rule that allows the sender's address; behind a connector that is one of the connector's /28",
)
NO_TRANSIT = DropCause(
    "no-transit",
    Cause.NO_ROUTE,
    "the packet came from one peered network, VPN or site and was for another",
    "peer the two networks directly, as peering is not transitive",
)
PRIVATE_TO_INTERNET = DropCause(
    "private-traffic-to-internet",
    Cause.PRIVATE_TRAFFIC_TO_INTERNET,
    "the packet was for a private address, and only the default internet gateway had a route for it",
    "add a subnet, a peering, a tunnel or a route for the destination",
)
PRIVATE_GOOGLE_ACCESS = DropCause(
    "private-google-access-disallowed",
    Cause.PRIVATE_GOOGLE_ACCESS_DISALLOWED,
    "the packet was for Google's APIs, and its sender has neither an external address nor Private Google Access",
    "turn on Private Google Access in the sender's subnet",
)
NO_GOOGLE_API = DropCause(
    "no-google-api",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "the packet was for Google's APIs, by another protocol or port than they are served at",
    "use TCP port 80 or 443",
)
NO_EXTERNAL_ADDRESS = DropCause(
    "no-external-address",
    Cause.NO_EXTERNAL_ADDRESS,
    "the packet was for the internet, and its sender has no external address",
    "give the sender an external address, or its subnet a Cloud NAT gateway",
)
OUT_OF_RESOURCES = DropCause(
    "out-of-resources",
    Cause.CLOUD_NAT_NO_ADDRESSES,
    "the Cloud NAT gateway has no ports left for the sender",
    "add addresses to the gateway, or lower its minPortsPerVm",
)
SMTP = DropCause(
    "smtp-blocked",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "the packet was for TCP port 25 of an external address, which Google always blocks",
    "use port 587 or 465",
)
DHCP = DropCause(
    "dhcp-blocked",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "the packet was a DHCP offer or acknowledgement, which only the cloud itself may send",
    "no rule lets it pass",
)
PROTOCOL = DropCause(
    "protocol-blocked",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "external addresses take TCP, UDP, ICMP, IPIP, AH, ESP, SCTP and GRE only",
    "use one of these protocols",
)
ICMP_AT_CONNECTOR = DropCause(
    "icmp-not-supported",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "connectors pass no ICMP to internal addresses",
    "use TCP or UDP",
)
CONNECTOR_RATE = DropCause(
    "connector-rate",
    Cause.VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED,
    "more bytes or packets came to a connector instance than its capacity lets through",
    "use a larger machine type or more instances, or change the testbed's `capacity`",
)
CONNECTOR_NEW_CONNECTIONS = DropCause(
    "connector-new-connections",
    Cause.VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED,
    "connections came to a connector instance faster than its capacity lets them open",
    "use connections again, or a larger machine type, or change the testbed's `capacity`",
)
CONNECTOR_CONNECTIONS = DropCause(
    "connector-connections",
    Cause.VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED,
    "as many connections were open through a connector instance as its capacity lets it track",
    "close connections, or use a larger machine type, or change the testbed's `capacity`",
)
EGRESS_ONLY = DropCause(
    "egress-only",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "the packet would open a connection to an instance of a service by Direct VPC egress, which is no way in",
    "call the service by its URL",
)
VPN_LOCAL_SELECTOR = DropCause(
    "vpn-tunnel-local-selector-mismatch",
    Cause.VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH,
    "the packet's source is in no local traffic selector of the gateway's tunnels",
    "add the source's range to localTrafficSelector; behind a connector that is its /28",
)
VPN_REMOTE_SELECTOR = DropCause(
    "vpn-tunnel-remote-selector-mismatch",
    Cause.VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH,
    "the packet's destination is in no remote traffic selector of the gateway's tunnels",
    "add the destination's range to remoteTrafficSelector",
)
NO_SELECTOR = DropCause(
    "no-traffic-selector",
    Cause.NO_TRAFFIC_SELECTOR_TO_GCP_DESTINATION,
    "no tunnel that is up carries the packet: none is up, or the peer has agreed to fewer ranges",
    "look at the tunnel's status, and at the ranges that the peer has configured",
)
ON_PREM_FIREWALL = DropCause(
    "on-prem-firewall",
    Cause.FIREWALL_RULE,
    "the site's own firewall does not allow the packet's source",
    "add the source's range to the site's allowedSources; behind a connector that is its /28",
)
UNTAGGED = DropCause(
    "untagged",
    Cause.TRAFFIC_TYPE_BLOCKED,
    "the packet came over a VLAN attachment without the attachment's tag",
    "send with the tag of the attachment",
)

CAUSES: Mapping[str, DropCause] = {
    one.id: one
    for one in (
        ANTI_SPOOFING,
        FOREIGN_IP,
        DENIED,
        IMPLIED_DENY_INGRESS,
        NO_TRANSIT,
        PRIVATE_TO_INTERNET,
        PRIVATE_GOOGLE_ACCESS,
        NO_GOOGLE_API,
        NO_EXTERNAL_ADDRESS,
        OUT_OF_RESOURCES,
        SMTP,
        DHCP,
        PROTOCOL,
        ICMP_AT_CONNECTOR,
        CONNECTOR_RATE,
        CONNECTOR_NEW_CONNECTIONS,
        CONNECTOR_CONNECTIONS,
        EGRESS_ONLY,
        VPN_LOCAL_SELECTOR,
        VPN_REMOTE_SELECTOR,
        NO_SELECTOR,
        ON_PREM_FIREWALL,
        UNTAGGED,
    )
}
"""All of them, by their ids."""


def cause_of(comment: str) -> DropCause | None:
    """The cause that a rule's comment names; what follows an id and a hyphen says which object it is about."""
    return next((one for one in CAUSES.values() if comment == one.id or comment.startswith(f"{one.id}-")), None)
