"""What the parts of a testbed are called: its nodes, and the segments that join them.

Nodes carry the short names of their resources, because commands name them so.  Segments and nodes share one name space,
in which a name is given out once: these are what they are called unless something else is (`allocation.short_names`).
"""

from __future__ import annotations

FRONT_END = "front-end"
LOAD_GENERATOR = "load"
INTERNET = "internet"
NAME_SERVER = "dns"

RESERVED = frozenset({FRONT_END, LOAD_GENERATOR, INTERNET, "lo", "all", "default", "tun0", "tun1"})
"""The testbed's own nodes, segment and device, and what Linux lets no network device be called."""


def vpc_segment(network: str) -> str:
    """The segment of a network, by its short name."""
    return f"vpc-{network}"


def producer_segment(redis: str) -> str:
    """The segment of the producer network that a Redis instance has for itself."""
    return f"vpc-redis-{redis}"


def services_segment(network: str) -> str:
    """The segment of the producer network behind a network's private connection."""
    return f"services-{network}"


def google_segment(network: str) -> str:
    """The segment from which Google's health checks and front ends reach into a network."""
    return f"google-{network}"


def edge_segment(network: str) -> str:
    """The segment behind a network's default internet gateway."""
    return f"edge-{network}"


def nat_segment(nat: str) -> str:
    """The segment of a Cloud NAT gateway."""
    return f"nat-{nat}"


def serverless_segment(region: str) -> str:
    """The segment of a region's serverless infrastructure."""
    return f"serverless-{region}"


def site_segment(site: str) -> str:
    """The segment of an on-prem site."""
    return f"site-{site}"


def runtime_node(workload: str, index: int) -> str:
    """The node of one container instance of a workload: the workload's own name for the first."""
    return workload if index == 0 else f"{workload}-{index + 1}"


def connector_node(connector: str, serial: int) -> str:
    """The node of a connector instance; serial numbers are not used again."""
    return f"{connector}-{serial:04d}"
