"""How long Google's operations take, for people who test their own waiting code (`--operation-delay`).

The connector's numbers are from behaviour 1.7.4; the others are recalled, and rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

CONNECTOR = 120.0
"""Seconds until a new connector is ready: "about 1-3 minutes" (behaviour 1.7.4)."""
UNHEALTHY = 300.0
"""Seconds until its creation fails for want of health: "about 4-6 minutes" (behaviour 1.7.4)."""
DEFAULT = 10.0
"""Seconds of what is not listed (recalled: most of Compute Engine's operations)."""

TYPICAL: Mapping[str, float] = {
    "vpcaccess.projects.locations.connectors.create": CONNECTOR,
    "vpcaccess.projects.locations.connectors.patch": CONNECTOR,
    "vpcaccess.projects.locations.connectors.delete": CONNECTOR,
    # All that follows is recalled.
    "compute.networks.insert": 20.0,
    "compute.networks.delete": 20.0,
    "compute.networks.addPeering": 20.0,
    "compute.subnetworks.insert": 15.0,
    "compute.subnetworks.delete": 15.0,
    "compute.firewalls.insert": 8.0,
    "compute.firewalls.patch": 8.0,
    "compute.firewalls.delete": 8.0,
    "compute.routes.insert": 12.0,
    "compute.routes.delete": 12.0,
    "compute.instances.insert": 20.0,
    "compute.instances.delete": 40.0,
    "compute.instances.stop": 40.0,
    "compute.routers.patch": 20.0,
    "compute.vpnTunnels.insert": 20.0,
    "compute.addresses.insert": 4.0,
    "run.projects.locations.services.create": 15.0,
    "run.projects.locations.services.patch": 15.0,
    "cloudfunctions.projects.locations.functions.create": 90.0,
    "cloudfunctions.projects.locations.functions.patch": 90.0,
    "appengine.apps.services.versions.create": 60.0,
    "redis.projects.locations.instances.create": 240.0,
    "redis.projects.locations.instances.patch": 120.0,
    "redis.projects.locations.instances.delete": 120.0,
    "servicenetworking.services.connections.create": 30.0,
    "serviceusage.services.enable": 15.0,
}
"""Seconds by the method's id."""


def typical(method: str) -> float:
    """Seconds that an operation of a method typically takes at Google."""
    return TYPICAL.get(method, DEFAULT)
