"""What nodes and segments are called: names that are given out once and kept, like addresses.

The first to come has the short name of its resource, by which commands know it.  A later one of an equal name says what
it is as well (`web.run` beside a VM `web`), or where, if that is what tells them apart (`vpc-default.PROJECT`).  No
resource's name has a dot in it, so that is nobody's short name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from testbed.fabric.allocation.keys import NameKey, container_instances
from testbed.model.core import well_known
from testbed.model.core.resource import last, segment
from testbed.model.topology import Topology

_KINDS = {
    "cloud-run": "run",
    "cloud-run-job": "job",
    "cloud-function": "function",
    "app-engine-standard": "app",
    "app-engine-flexible": "app",
}


def short_name(name: str) -> str:
    """What a node or segment would be called if it were alone."""
    return name.partition(".")[0]


def give(topology: Topology, previous: Mapping[NameKey, str]) -> dict[NameKey, str]:
    """The name of every node and segment, but of connector instances: those have serial numbers.  No two are equal."""
    parts = list(_parts(topology))
    keys = {part.key for part in parts}
    found = {key: name for key, name in previous.items() if key in keys}
    kinds = dict.fromkeys(well_known.RESERVED, "") | {found[part.key]: part.kind for part in parts if part.key in found}
    connectors = {connector.id for connector in topology.vpcaccess.connectors}
    for part in parts:
        if part.key not in found:
            free = (name for name in part.candidates(kinds) if not (name in kinds or _serial(name, connectors)))
            name = found[part.key] = next(free)
            kinds[name] = part.kind
    return found


def free_serial(connector: str, serial: int, given: Collection[str]) -> int:
    """The first serial number from one on with which an instance of a connector is called as nothing else."""
    return next(n for n in count(serial) if well_known.connector_node(last(connector), n) not in given)


def _serial(name: str, connectors: set[str]) -> bool:
    """Whether an instance of a connector may be called so."""
    head, _, serial = name.rpartition("-")
    return head in connectors and serial.isdigit()


@dataclass(frozen=True, slots=True)
class _Part:
    """A node or segment that needs a name."""

    key: NameKey
    short: str
    kind: str
    place: str
    """The region, zone, project or site that it is in."""

    def candidates(self, kinds: Mapping[str, str]) -> Iterator[str]:
        """The names that would do, in order; `kinds` says what is called how by now."""
        yield self.short
        yield f"{self.short}.{self.place if kinds.get(self.short) == self.kind else self.kind}"
        yield from (f"{self.short}.{self.kind}-{number}" for number in count(2))


def _parts(topology: Topology) -> Iterator[_Part]:
    yield from _segments(topology)
    for instance in topology.compute.instances:
        yield _Part(NameKey.node(instance.full_name), instance.name, "vm", instance.zone)
    yield from _vpn(topology)
    for redis in topology.redis.instances:
        yield _Part(NameKey.node(redis.full_name), redis.id, "redis", segment(redis.full_name, "locations"))
    for host in topology.internet.hosts:
        yield _Part(NameKey.internet_host(host.name), host.name, "host", "internet")
    for place in topology.on_prem.sites:
        for host in place.hosts:
            yield _Part(NameKey.site_host(place.name, host.name), host.name, "host", place.name)
    for workload in topology.workloads:
        for one in container_instances(workload):
            short = well_known.runtime_node(workload.id, one.number)
            yield _Part(NameKey.runtime(one), short, _KINDS[workload.kind], workload.region)


def _vpn(topology: Topology) -> Iterator[_Part]:
    """Gateways, and tunnels and VLAN attachments that have nodes of their own."""
    for gateway in topology.compute.target_vpn_gateways:
        yield _Part(NameKey.node(gateway.full_name), gateway.name, "vpn", segment(gateway.full_name, "regions"))
    for tunnel in topology.compute.vpn_tunnels:
        if tunnel.vpn_gateway is not None:
            yield _Part(NameKey.node(tunnel.full_name), tunnel.name, "tunnel", segment(tunnel.full_name, "regions"))
    for attachment in topology.compute.interconnect_attachments:
        yield _Part(NameKey.node(attachment.full_name), attachment.name, "attachment", attachment.region)
    for place in topology.on_prem.sites:
        name = place.way_out.name
        for index in range(max(1, place.way_out.ends)):
            short = f"{name}-{index}" if index else name
            yield _Part(NameKey.site_end(place.name, index), short, "gateway", place.name)


def _segments(topology: Topology) -> Iterator[_Part]:
    if topology.has_names:
        yield _Part(NameKey.name_server(), well_known.NAME_SERVER, "server", "google")
    for network in topology.compute.networks:
        project = segment(network.full_name, "projects")
        yield _Part(NameKey.network(network.full_name), well_known.vpc_segment(network.name), "network", project)
        yield _Part(NameKey.google(network.full_name), well_known.google_segment(network.name), "google", project)
        yield _Part(NameKey.edge(network.full_name), well_known.edge_segment(network.name), "edge", project)
    for router in topology.compute.routers:
        for gateway in router.nats:
            key = NameKey.nat(router.full_name, gateway.name)
            yield _Part(key, well_known.nat_segment(gateway.name), "nat", router.region)
    for connection in topology.servicenetworking.connections:
        short = well_known.services_segment(last(connection.network))
        yield _Part(NameKey.network(connection.producer), short, "services", segment(connection.network, "projects"))
    for redis in (one for one in topology.redis.instances if one.direct):
        place = segment(redis.full_name, "locations")
        yield _Part(NameKey.producer(redis.full_name), well_known.producer_segment(redis.id), "producer", place)
    for one in topology.on_prem.sites:
        yield _Part(NameKey.site(one.name), well_known.site_segment(one.name), "site", "on-prem")
    for name in topology.serverless_regions:
        yield _Part(NameKey.region(name), well_known.serverless_segment(name), "region", name)
