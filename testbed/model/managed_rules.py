"""Firewall rules that Google makes by itself: for connectors, Redis instances and App Engine's flexible environment."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.model.compute.firewall import Firewall, Match
from testbed.model.core.ranges import HEALTH_CHECKS, SERVERLESS
from testbed.model.core.resource import segment
from testbed.model.serverless.connector import Connector
from testbed.model.topology import Topology

TUNNEL_PORT = 665
"""UDP port of both ends of the tunnel from a runtime to its connector (behaviour 2.1.7)."""
RETURN_PORT = 666
"""That of the tunnel back.  With a port of its own each direction meets firewall rules (behaviour 2.3.3)."""
HEALTH_PORT = 667
"""TCP port on which a connector instance answers health checks (behaviour 2.1.7)."""

_PROXY = (
    Match(IPProtocol="tcp", ports=(str(HEALTH_PORT),)),
    Match(IPProtocol="udp", ports=("665-666",)),
    Match(IPProtocol="icmp"),
)
_OTHER_PORTS = (
    Match(IPProtocol="tcp", ports=("1-666", "668-65535")),
    Match(IPProtocol="udp", ports=("1-664", "667-65535")),
)
_HEALTH = (Match(IPProtocol="tcp", ports=(str(HEALTH_PORT),)),)
_ALL = (Match(IPProtocol="tcp"), Match(IPProtocol="udp"), Match(IPProtocol="icmp"))


def for_connector(connector: Connector, network: str, cidr: str) -> Iterator[Firewall]:
    """The six rules that exist as long as the connector does (behaviour 2.2.2, 2.2.7)."""
    _, unique = connector.network_tags
    infrastructure = (str(SERVERLESS),)
    probes = tuple(map(str, HEALTH_CHECKS))

    def rule(suffix: str, **fields: object) -> Firewall:
        name = f"{connector.resource_prefix}-{suffix}"
        link = f"projects/{segment(network, 'projects')}/global/firewalls/{name}"
        return Firewall.model_validate({"name": name, "network": network, "selfLink": link, **fields})

    # Most target the instances by the unique tag (likely: behaviour 2.2.2).
    yield rule("hcfw", priority=100, allowed=_HEALTH, sourceRanges=probes, targetTags=(unique,))
    yield rule("rsgfw", priority=100, allowed=_PROXY, sourceRanges=infrastructure, targetTags=(unique,))
    outbound = {"direction": "EGRESS", "priority": 100, "destinationRanges": infrastructure, "targetTags": (unique,)}
    yield rule("earfw", allowed=_PROXY, **outbound)
    yield rule("egrfw", denied=_OTHER_PORTS, **outbound)
    yield rule("sbntfw", priority=1000, allowed=_ALL, sourceRanges=(cidr,))
    yield rule("tagfw", priority=1000, allowed=_ALL, sourceTags=(unique,))


def of_connectors(topology: Topology, network: str) -> Iterator[tuple[Connector, Firewall]]:
    """The rules of a network's connectors.  Those of a service project are left out: it makes its own (2.3.1)."""
    for connector in topology.connectors_in(network):
        if segment(connector.name, "projects") == segment(network, "projects"):
            for rule in for_connector(connector, network, topology.connector_range(connector)):
                yield connector, rule


def for_redis(port: int) -> Firewall:
    """Redis answers on its port only (behaviour 4.9.5); the tag tells instances with TLS and without apart."""
    name = f"redis-{port}"
    return Firewall.model_validate(
        {
            "name": name,
            "network": "servicenetworking",
            "allowed": (Match(IPProtocol="tcp", ports=(str(port),)),),
            "targetTags": (name,),
        }
    )


def for_flexible(service: str, network: str, tag: str, port: int) -> Firewall:
    """Google's front ends reach the instances of a flexible service (recalled; the rule's shape is our choice)."""
    return Firewall.model_validate(
        {
            "name": f"aef-{service}",
            "network": network,
            "priority": 1000,
            "sourceRanges": tuple(map(str, HEALTH_CHECKS)),
            "targetTags": (tag,),
            "allowed": (Match(IPProtocol="tcp", ports=(str(port),)),),
        }
    )
