"""The oracle: what becomes of a packet, by Google's rules.

It is written from the model and from what is known of Google's network, and knows nothing of how the testbed is made:
the second opinion on the compiler.  The tests send real packets and compare.

Not judged yet: HA VPN (its dynamic routes would be those of VLAN attachments).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from testbed.errors import NotFound
from testbed.fabric.allocation.keys import AddressKey, ContainerInstance, NameKey, RangeKey, container_instances
from testbed.fabric.allocation.running import Running
from testbed.model.core.ranges import (
    GOOGLE_API_VIPS,
    GOOGLE_APIS,
    INTERNAL,
    PRIVATE,
    PRIVATE_RANGES_ONLY,
    PUBLIC_GOOGLE_API,
    contains,
)
from testbed.model.drop_causes import Cause
from testbed.model.hybrid.outside import Site
from testbed.model.managed_rules import RETURN_PORT, TUNNEL_PORT
from testbed.model.serverless.workload import Workload, WorkloadKind
from testbed.model.topology import Topology
from testbed.oracle import rules
from testbed.oracle.cloud import Cloud, Nic, Server, within
from testbed.oracle.routes import Way, ways
from testbed.oracle.tunnels import Attachment, Tunnel, attachments, established
from testbed.oracle.verdict import Flow, Packet, Step, Verdict, any_of

_START: dict[WorkloadKind, Step] = {
    "cloud-run": Step.START_FROM_CLOUD_RUN_REVISION,
    "cloud-run-job": Step.START_FROM_CLOUD_RUN_JOB,
    "cloud-function": Step.START_FROM_CLOUD_FUNCTION,
    "app-engine-standard": Step.START_FROM_APP_ENGINE_VERSION,
}
_SMTP = 25
_DHCP_CLIENT = 68
_API_PORTS = (80, 443)


def judge(topology: Topology, running: Running, flow: Flow) -> Verdict:
    """What becomes of a flow.

    Raises:
        NotFound: nothing of the topology that can send has the name of the flow's source.
    """
    return _Walk(Cloud(topology, running), flow).verdict()


@dataclass(frozen=True, slots=True)
class _Walk:
    """The way of one flow; a method for each place that it may come to."""

    cloud: Cloud
    flow: Flow

    def verdict(self) -> Verdict:
        """From the sender to the end."""
        topology, name = self.cloud.topology, self.cloud.running.name
        if sender := self._container_instance:
            return self._from_workload(*sender)
        for nic in self.cloud.nics:
            if nic.owner == self.flow.source:
                own = (one for workload, _ in topology.flexible for one in container_instances(workload))
                flexible = self.flow.source in (name(NameKey.runtime(one)) for one in own)
                start = Step.START_FROM_APP_ENGINE_VERSION if flexible else Step.START_FROM_INSTANCE
                return self._from_nic(Verdict((start,)), nic)
        for host in topology.internet.hosts:
            if name(NameKey.internet_host(host.name)) == self.flow.source:
                return self._over_the_internet(Verdict((Step.START_FROM_INTERNET,)), host.address)
        for where in topology.on_prem.sites:
            for host in where.hosts:
                if name(NameKey.site_host(where.name, host.name)) == self.flow.source:
                    return self._from_site(Verdict((Step.START_FROM_PRIVATE_NETWORK,)), where, host.address)
        raise NotFound(f"flow: nothing called {self.flow.source} can send")

    @property
    def _container_instance(self) -> tuple[Workload, ContainerInstance] | None:
        """The sender, if it is in no network: its workload, and which of the instances it is."""
        workloads = (one for one in self.cloud.topology.workloads if one.kind in _START)
        known = ((workload, one) for workload in workloads for one in container_instances(workload))
        name = self.cloud.running.name
        return next(((w, one) for w, one in known if name(NameKey.runtime(one)) == self.flow.source), None)

    # -- serverless -----------------------------------------------------------------------------------------------

    def _from_workload(self, workload: Workload, sender: ContainerInstance) -> Verdict:
        """The egress setting says what goes through the connector (behaviour 3.2.2, 3.3.1)."""
        start = Verdict((_START[workload.kind],))
        through = workload.egress == "ALL_TRAFFIC" or contains(PRIVATE_RANGES_ONLY, self._destination)
        if workload.connector is not None and through:
            return self._through_connector(start, sender, workload.connector)
        if workload.direct is not None and (through or self._is_own):
            return self._from_interface(start)
        if contains(INTERNAL, self._destination):
            unset = workload.connector is None and workload.direct is None
            return start.dropped(Cause.VPC_CONNECTOR_NOT_SET if unset else Cause.PRIVATE_TRAFFIC_TO_INTERNET)
        pool = IPv4Network(self.cloud.running.range(RangeKey.egress_pool(workload.region)))
        direct = start.at(Step.SERVERLESS_EXTERNAL_CONNECTION)  # from a pool of Google's (behaviour 3.2.4)
        return any_of(self._over_the_internet(direct, str(address)) for address in pool.hosts())

    @property
    def _is_own(self) -> bool:
        """Whether the sender has the destination's address itself."""
        return any((n.owner, n.address) == (self.flow.source, self.flow.destination) for n in self.cloud.nics)

    def _from_interface(self, start: Verdict) -> Verdict:
        """An instance of the workload sends under its own address in the network, as a VM does (behaviour 7.2)."""
        start = start.at(Step.DIRECT_VPC_EGRESS_CONNECTION)
        interface = next(nic for nic in self.cloud.nics if nic.owner == self.flow.source)
        return start.delivered(interface.address) if self._is_own else self._from_nic(start, interface)

    def _through_connector(self, start: Verdict, sender: ContainerInstance, name: str) -> Verdict:
        """One of the healthy instances is chosen; a connector that is gone is not bypassed (behaviour 1.10.5)."""
        connector = next((c for c in self.cloud.topology.vpcaccess.connectors if c.name == name), None)
        instances = self.cloud.healthy(connector) if connector else []
        if not instances:
            return start.dropped(Cause.VPC_CONNECTOR_NOT_RUNNING)
        return any_of(self._through(start, sender, instance) for instance in instances)

    def _through(self, start: Verdict, sender: ContainerInstance, instance: Nic) -> Verdict:
        """The tunnel must get in (behaviour 2.1.7, 2.3.3); then the instance sends under its own address (2.1.1).

        The answer takes a tunnel of its own, which must get out.
        """
        outer = self.cloud.running.address(AddressKey.outer(sender))
        tunnel = Packet(outer, instance.address, "udp", TUNNEL_PORT)
        ruling = rules.ingress(self.cloud, instance, tunnel, None)
        start = replace(start, tunnel=ruling)
        if not ruling.allows:
            return start.dropped(Cause.VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED)
        start = start.at(Step.ARRIVE_AT_VPC_CONNECTOR)
        if self.flow.protocol == "icmp" and contains(INTERNAL, self._destination):  # behaviour 3.7
            return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
        back = rules.egress(self.cloud, instance, Packet(instance.address, outer, "udp", RETURN_PORT))
        there = self._from_nic(replace(start, answer=back), instance)
        if there.cause is None and not back.allows:
            return there.dropped(Cause.VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED)
        return there

    # -- in a network ---------------------------------------------------------------------------------------------

    def _from_nic(self, start: Verdict, sender: Nic) -> Verdict:
        """The sender's egress rules, then the routes of its network (behaviour 4.1.16, 7.1.4)."""
        if not sender.runs:
            return start.dropped(Cause.INSTANCE_NOT_RUNNING)
        if (
            self.flow.destination == sender.address
        ):  # always allowed (behaviour 4.2.1), but a connector's has no service
            return start.delivered(sender.address) if sender.answers else start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
        ruling = rules.egress(self.cloud, sender, self._packet(sender.address))
        start = replace(start.at(Step.APPLY_EGRESS_FIREWALL_RULE), sender=ruling)
        if not ruling.allows:
            return start.dropped(Cause.FIREWALL_RULE)
        found = ways(self.cloud, sender.network, self.flow.destination, sender.tags)
        if not found:
            return start.dropped(Cause.NO_ROUTE)
        start = start.at(Step.APPLY_ROUTE)
        return any_of(self._along(start, sender, way) for equal in found for way in equal)

    def _along(self, start: Verdict, sender: Nic, found: Way) -> Verdict:
        """What the next hop does with it."""
        match found.hop:
            case "NETWORK" if servers := [one for one in self.cloud.servers if one.network == found.network]:
                return self._to_redis(start, servers, sender.address)
            case "NETWORK":
                receiver = self.cloud.nic(found.network, self.flow.destination)
                return self._to_nic(start, receiver, sender.address, sender)
            case "INTERNET_GATEWAY":
                return self._out(start, sender)
            case "INSTANCE" | "IP":
                return self._to_next_hop(start, sender.address, sender, found)
            case "SPECIAL":  # what is behind it takes answers only, to what it has sent (behaviour 4.3.11)
                return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
            case "VPN_TUNNEL" | "INTERCONNECT" as hop:
                into = self._into_tunnel if hop == "VPN_TUNNEL" else self._into_attachment
                return into(start, sender.address, found.target)

    def _to_next_hop(self, start: Verdict, source: str, sender: Nic | None, found: Way) -> Verdict:
        """An instance takes what is not for itself only with `canIpForward` (behaviour 4.3.8, 7.1.7).

        What it does with it is up to its owner: it is taken to be delivered.
        """
        if not found.running:
            gone = found.hop == "IP" and self.cloud.nic(found.network, found.target) is None
            return start.dropped(Cause.ROUTE_NEXT_HOP_IP_ADDRESS_NOT_RESOLVED if gone else Cause.ROUTE_BLACKHOLE)
        hop = self._next_hop(found)
        if not hop.forwards:
            return start.dropped(Cause.FOREIGN_IP_DISALLOWED)
        ruling = rules.ingress(self.cloud, hop, self._packet(source), sender)
        start = replace(start.at(Step.APPLY_INGRESS_FIREWALL_RULE), receiver=ruling)
        if not ruling.allows:
            return start.dropped(Cause.FIREWALL_RULE)
        if hop == sender:
            return start.dropped(Cause.ROUTING_LOOP)
        return start.delivered(source, Step.ARRIVE_AT_INSTANCE)

    def _next_hop(self, found: Way) -> Nic:
        owner = self.cloud.running.name(NameKey.node(found.target)) if found.hop == "INSTANCE" else None
        theirs = (nic for nic in self.cloud.nics if nic.network == found.network)
        return next(nic for nic in theirs if found.target == nic.address or owner == nic.owner)

    def _to_nic(self, start: Verdict, receiver: Nic | None, source: str, sender: Nic | None) -> Verdict:
        """The receiver's ingress rules, which are those of its own network (behaviour 4.1.18)."""
        if receiver is None:
            return start.dropped(Cause.UNKNOWN_INTERNAL_ADDRESS)
        if not receiver.runs:
            return start.dropped(Cause.INSTANCE_NOT_RUNNING)
        if (self.flow.protocol, self.flow.port) == ("udp", _DHCP_CLIENT):  # behaviour 4.2.2
            return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
        packet = replace(self._packet(source), destination=receiver.address)
        ruling = rules.ingress(self.cloud, receiver, packet, sender)
        start = replace(start.at(Step.APPLY_INGRESS_FIREWALL_RULE), receiver=ruling)
        if not ruling.allows:
            return start.dropped(Cause.FIREWALL_RULE)
        if not receiver.answers:  # behaviour 2.1.3
            return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
        return start.delivered(source, Step.ARRIVE_AT_INSTANCE)

    def _to_redis(self, start: Verdict, servers: Sequence[Server], source: str) -> Verdict:
        """What a producer's network lets pass: one port of TCP, from addresses that it has a way back to (4.9.5)."""
        server = next((one for one in servers if one.address == self.flow.destination), None)
        if server is None:
            return start.dropped(Cause.UNKNOWN_INTERNAL_ADDRESS)
        if self.flow.protocol != "tcp":
            return start.dropped(Cause.REDIS_INSTANCE_UNSUPPORTED_PROTOCOL)
        if self.flow.port != server.port:
            return start.dropped(Cause.REDIS_INSTANCE_UNSUPPORTED_PORT)
        if server.private and not contains(PRIVATE, IPv4Address(source)):
            return start.dropped(Cause.REDIS_INSTANCE_CONNECTING_FROM_PUPI_ADDRESS)
        return start.delivered(source)

    # -- on premises ----------------------------------------------------------------------------------------------

    def _into_tunnel(self, start: Verdict, source: str, name: str) -> Verdict:
        """What a tunnel's selectors cover comes to the site, whose answers take the same way (behaviour 4.10.4)."""
        tunnel = next((one for one in established(self.cloud) if one.name == name), None)
        if tunnel is None:
            return start.dropped(Cause.ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED)
        start = start.at(Step.ARRIVE_AT_VPN_TUNNEL)
        if not tunnel.takes(source, self.flow.destination):
            local = tunnel.local_mismatch(source)
            return start.dropped(
                Cause.VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH if local else Cause.VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH
            )
        return self._in_site(start, tunnel.site, source)

    def _into_attachment(self, start: Verdict, source: str, name: str) -> Verdict:
        """The site has to know the way back (behaviour 4.11.1)."""
        link = next(one for one in attachments(self.cloud) if one.name == name)
        arrived = self._in_site(start.at(Step.ARRIVE_AT_INTERCONNECT_ATTACHMENT), link.site, source)
        if not arrived.reachable or self._learned(link.site, source) == link:
            return arrived
        return replace(arrived, sources=frozenset()).dropped(Cause.NO_ADVERTISED_ROUTE_TO_GCP_DESTINATION)

    def _learned(self, place: Site, destination: str) -> Attachment | None:
        """The attachment that a site sends by, by the most specific route that it has learned."""
        links = {one.far: one for one in attachments(self.cloud) if one.site == place}
        known = [r for r in self.cloud.running.learned if r.node in links and within(destination, r.destination)]
        best = min(known, key=lambda r: (-IPv4Network(r.destination).prefixlen, r.priority), default=None)
        return links[best.node] if best else None

    def _in_site(self, start: Verdict, place: Site, source: str) -> Verdict:
        if self.flow.destination not in {host.address for host in place.hosts}:
            return start.dropped(Cause.UNKNOWN_INTERNAL_ADDRESS)
        if place.firewall and not any(within(source, cidr) for cidr in (place.range, *place.firewall.allowed_sources)):
            return start.dropped(Cause.FIREWALL_RULE)  # the site's own (behaviour 4.11.4)
        return start.delivered(source)

    def _from_site(self, start: Verdict, place: Site, source: str) -> Verdict:
        """A site's gateway sends into the tunnel what it is for; it translates nothing for the internet."""
        if within(self.flow.destination, place.range):
            return self._in_site(start, place, source)
        for tunnel in established(self.cloud):
            if tunnel.site == place and tunnel.takes(self.flow.destination, source):
                return self._from_tunnel(start.at(Step.ARRIVE_AT_VPN_TUNNEL), tunnel, source)
        if place.gateway is not None:
            return start.dropped(Cause.NO_TRAFFIC_SELECTOR_TO_GCP_DESTINATION)
        link = self._learned(place, self.flow.destination)
        if link is None or not any(within(self.flow.destination, cidr) for cidr in link.local):
            return start.dropped(Cause.NO_ADVERTISED_ROUTE_TO_GCP_DESTINATION)
        return self._from_tunnel(start.at(Step.ARRIVE_AT_INTERCONNECT_ATTACHMENT), link, source)

    def _from_tunnel(self, start: Verdict, tunnel: Tunnel | Attachment, source: str) -> Verdict:
        """It takes the routes of the network that have no tags (behaviour 4.3.6)."""
        found = ways(self.cloud, tunnel.network, self.flow.destination, frozenset())
        if not found:
            return start.dropped(Cause.NO_ROUTE)
        start = start.at(Step.APPLY_ROUTE)
        return any_of(self._from_tunnel_along(start, tunnel, source, way) for equal in found for way in equal)

    def _from_tunnel_along(self, start: Verdict, tunnel: Tunnel | Attachment, source: str, found: Way) -> Verdict:
        def returning(arrived: Verdict, network: str, tags: frozenset[str] = frozenset()) -> Verdict:
            """Answers need a way back into the tunnel."""
            back = [way for equal in ways(self.cloud, network, source, tags) for way in equal]
            right = [way.target == tunnel.name for way in back]
            if not arrived.reachable or (right and all(right)):
                return arrived
            if any(right):
                return replace(arrived, ambiguous=True)
            return replace(arrived, sources=frozenset()).dropped(Cause.NO_ROUTE)

        match found.hop:
            case "NETWORK":
                if found.network != tunnel.network and not self._is_known_there(tunnel, found.network, source):
                    return start.dropped(Cause.NO_KNOWN_ROUTE_FROM_PEERED_NETWORK_TO_DESTINATION)
                if servers := [one for one in self.cloud.servers if one.network == found.network]:
                    return returning(self._to_redis(start, servers, source), found.network)
                receiver = self.cloud.nic(found.network, self.flow.destination)
                tags = receiver.tags if receiver else frozenset[str]()
                return returning(self._to_nic(start, receiver, source, None), found.network, tags)
            case "INTERNET_GATEWAY" if contains(GOOGLE_API_VIPS, self._destination):  # behaviour 4.8.3
                return returning(self._to_google(start, source), tunnel.network)
            case "INSTANCE" | "IP":
                hop = self._next_hop(found) if found.running else None
                tags = hop.tags if hop else frozenset[str]()
                return returning(self._to_next_hop(start, source, None, found), found.network, tags)
            case _:  # neither to the internet nor to another site: nothing is transitive
                special = found.hop == "SPECIAL"
                return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED if special else Cause.NO_ROUTE)

    def _is_known_there(self, tunnel: Tunnel | Attachment, network: str, source: str) -> bool:
        """Whether a peered network has imported the route to the site (behaviour 4.5.3, 4.9.9)."""
        found = ways(self.cloud, network, source, frozenset())
        return any(way.network == tunnel.network for equal in found for way in equal)

    # -- the internet ---------------------------------------------------------------------------------------------

    def _out(self, start: Verdict, sender: Nic) -> Verdict:
        """The default internet gateway takes public destinations, from what has an external address or Cloud NAT."""
        if contains(INTERNAL, self._destination):  # behaviour 4.3.9
            return start.dropped(Cause.PRIVATE_TRAFFIC_TO_INTERNET)
        if (self.flow.protocol, self.flow.port) == ("tcp", _SMTP):  # behaviour 4.2.2
            return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
        sources = {sender.external} if sender.external else sender.nat
        if contains(GOOGLE_APIS, self._destination):
            if not (sources or sender.google_access):  # behaviour 4.8.1; what Cloud NAT serves has access (recalled)
                return start.dropped(Cause.PRIVATE_GOOGLE_ACCESS_DISALLOWED)
            return self._to_google(start, sender.external or sender.address)
        if not sources:  # behaviour 3.3.2
            return start.dropped(Cause.NO_EXTERNAL_ADDRESS)
        found = any_of(self._over_the_internet(start.at(Step.NAT), source) for source in sorted(sources))
        crowded = not sender.external and self.cloud.crowded(sender)
        return replace(found, ambiguous=found.ambiguous or crowded)

    def _to_google(self, start: Verdict, source: str) -> Verdict:
        """Google's APIs are reached by HTTP, under the internal address if there is no other."""
        if self.flow.protocol != "tcp" or self.flow.port not in _API_PORTS:
            return start.dropped(Cause.TRAFFIC_TYPE_BLOCKED)
        return start.delivered(source)

    def _over_the_internet(self, start: Verdict, source: str) -> Verdict:
        """To a host, or to the external address of an instance."""
        if contains(INTERNAL, self._destination):
            return start.dropped(Cause.PRIVATE_TRAFFIC_TO_INTERNET)
        if self.flow.destination in {host.address for host in self.cloud.topology.internet.hosts}:
            return start.delivered(source)
        if self._destination == PUBLIC_GOOGLE_API:
            return self._to_google(start, source)
        receiver = self.cloud.exposed(self.flow.destination)
        if receiver is None:
            return start.dropped(Cause.UNKNOWN_EXTERNAL_ADDRESS)
        return self._answered(self._to_nic(start, receiver, source, None), receiver, source)

    def _answered(self, arrived: Verdict, receiver: Nic, source: str) -> Verdict:
        """The answer to the internet needs a way back by the default internet gateway (behaviour 4.3.7)."""
        back = [way.hop for equal in ways(self.cloud, receiver.network, source, receiver.tags) for way in equal]
        if not arrived.reachable or {*back} == {"INTERNET_GATEWAY"}:
            return arrived
        if "INTERNET_GATEWAY" in back:  # it takes one of several equal routes
            return replace(arrived, ambiguous=True)
        return replace(arrived, sources=frozenset()).dropped(Cause.NO_ROUTE)

    # -- the packet -----------------------------------------------------------------------------------------------

    @property
    def _destination(self) -> IPv4Address:
        return IPv4Address(self.flow.destination)

    def _packet(self, source: str) -> Packet:
        return Packet(source, self.flow.destination, self.flow.protocol, self.flow.port)
