"""VPN gateways and VLAN attachments as nodes: routers with one foot on the internet and one in a network.

A classic gateway is one node, with one IKE daemon for all of its tunnels.  A tunnel with BGP (of an HA gateway, or of a
site) is a node of its own: the selectors of all such tunnels are 0.0.0.0/0, and what tells them apart is the interface
that a packet leaves by.  Nodes that share an external address are told apart by the peer that a packet comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from testbed.fabric import node_specs, producers
from testbed.fabric.allocation.keys import AddressKey, NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.hybrid import traffic_selectors
from testbed.fabric.hybrid.interconnect import Attachments
from testbed.fabric.inventory import Participant
from testbed.fabric.naming import interface_name
from testbed.fabric.node_specs import RouteBased
from testbed.fabric.plan import KernelRoute, Node, RoutingRule
from testbed.fabric.vpc import Vpc
from testbed.fabric.wiring import DEFAULT, DUMMY_GATEWAY, ROUTER, Space, Wiring
from testbed.model import bgp
from testbed.model.bgp import Advertised, BgpSession
from testbed.model.compute.router import Session
from testbed.model.core.ranges import CLOUD_DNS, GOOGLE_API_VIPS, INTERNAL
from testbed.model.core.ranges import gateway as gateway_address
from testbed.model.core.ranges import inside as in_ranges
from testbed.model.hybrid.interconnect import CustomerAttachment
from testbed.model.hybrid.outside import Site, SiteBgp, VpnGateway
from testbed.model.hybrid.vpn import VpnTunnel, external_address
from testbed.model.peering import active
from testbed.model.topology import Topology

LINK_MTU = 1500
_PEER_RULE = 1000
_FIRST_TABLE = 1000


@dataclass(slots=True)
class Gateways:
    """The VPN gateways and VLAN attachments of a testbed under construction."""

    topology: Topology
    running: Running
    wiring: Wiring
    internet: Space
    there: Mapping[str, Participant]
    """The gateways that are in networks, by the full names of classic gateways, tunnels and attachments."""
    nodes: list[Node] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)
    """External addresses of nodes."""
    _tables: dict[str, int] = field(default_factory=dict)
    """Of the internet, by peer."""

    # -- in the cloud ---------------------------------------------------------------------------------------------

    def classic(self, vpcs: Mapping[str, Vpc]) -> None:
        """Classic gateways."""
        compute = self.topology.compute
        for gateway in compute.target_vpn_gateways:
            vpc = vpcs[gateway.network]
            address = external_address(gateway.full_name, compute.forwarding_rules)
            if address is None:  # it is being made, piece by piece
                continue
            external = self.running.address(AddressKey.reserved(address))
            one = self.there[gateway.full_name]
            node = self.wiring.node(one.node, ROUTER)
            self.wiring.attach(node, "internet", self.internet, external, mtu=LINK_MTU)
            local = self._behind(gateway.network)
            # User-space ESP takes a policy only with a local address in its selector: the subnets' gateway addresses.
            node.loopback |= {f"{gateway_address(cidr)}/32" for cidr in (*local, str(CLOUD_DNS))}
            # On-prem hosts may have access to the VIPs (behaviour 4.8.3) and to what instances forward to, and
            # Cloud DNS asks their name servers.
            more = (*map(str, GOOGLE_API_VIPS), str(CLOUD_DNS), *self._forwarded(gateway.network))
            routes = dict.fromkeys([*local, *more])
            self.wiring.attach(node, "vpc", vpc.space, one.address, mtu=vpc.mtu, routes=routes, forwards=True)
            tunnels = [t for t in compute.vpn_tunnels if t.target_vpn_gateway == gateway.full_name]
            node.tables.append(traffic_selectors.classic(tunnels))
            self.nodes.append(node_specs.cloud_vpn(one.node, external, tunnels))

    def high_availability(self, vpcs: Mapping[str, Vpc]) -> None:
        """The tunnels of HA gateways.  One whose peer is not known is not there yet."""
        networks = {gateway.full_name: gateway.network for gateway in self.topology.compute.vpn_gateways}
        sessions = bgp.sessions(self.topology)
        for tunnel in self.topology.compute.vpn_tunnels:
            peer = peer_address(self.topology, self.running, tunnel)
            if tunnel.vpn_gateway is None or peer is None:
                continue
            vpc, session = vpcs[networks[tunnel.vpn_gateway]], sessions.get(tunnel.full_name)
            external = self.running.address(AddressKey.vpn_interface(tunnel.vpn_gateway, tunnel.vpn_gateway_interface))
            one = self.there[tunnel.full_name]
            node = self.wiring.node(one.node, ROUTER)
            self._to_internet(node, external, peer, [f"{peer}/32"])
            said = [spoken.range for spoken in session.advertised] if session else []
            behind = self._behind(networks[tunnel.vpn_gateway])
            session = session and replace(session, inside=tuple(behind))
            local = dict.fromkeys([*behind, *said, str(CLOUD_DNS)])
            self.wiring.attach(
                node,
                "vpc",
                vpc.space,
                one.address,
                mtu=vpc.mtu,
                gateway=DUMMY_GATEWAY,
                routes=local,
                forwards=True,
            )
            node.tables.append(traffic_selectors.route_based())
            end = RouteBased(external, peer, tunnel.shared_secret, tunnel.ike_version, session, initiate=True)
            self.nodes.append(node_specs.route_based(node.name, "vpn-tunnel", end))

    def attachments(self, vpcs: Mapping[str, Vpc]) -> None:
        """The Cloud Routers' ends of VLAN attachments."""
        networks = {router.full_name: router.network for router in self.topology.compute.routers}
        for attachment in self.topology.compute.interconnect_attachments:
            network = networks[attachment.router]
            self.nodes.append(
                self._attachments.begin(self.there[attachment.full_name], vpcs[network], self._behind(network))
            )

    @property
    def _attachments(self) -> Attachments:
        return Attachments(self.topology, self.running, self.wiring)

    def _behind(self, network: str) -> list[str]:
        """What can be reached behind a gateway: the network, and those that import its static routes by peering."""
        return [*self.topology.ranges_of(network), *importers(self.topology, self.running, network)]

    def _forwarded(self, network: str) -> list[str]:
        """Private ranges that static routes lead to by instances: who comes from a tunnel takes those without tags."""
        return [
            route.dest_range
            for route in self.topology.compute.routes
            if route.network == network
            and not route.tags
            and (route.next_hop_instance or route.next_hop_ip)
            and in_ranges(route.dest_range, INTERNAL)
        ]

    # -- on premises ----------------------------------------------------------------------------------------------

    def site(self, site: Site) -> Space:
        """A site's gateway or router and its network, whose routes follow what these learn."""
        segment = self.wiring.segment(self.running.name(NameKey.site(site.name)))
        for index in range(site.way_out.ends):
            node = self.wiring.node(self.running.name(NameKey.site_end(site.name, index)), ROUTER)
            further = AddressKey.inside_site(site.name, index)
            address = self.running.address(further) if index else site.way_out.internal_address
            port = self.wiring.attach(
                node, "lan", segment, address, mtu=LINK_MTU, gateway=DUMMY_GATEWAY, routes=[site.range], forwards=True
            )
            if index == 0:
                segment.routes.add(KernelRoute(DEFAULT, port, address))
            if site.gateway:
                self._site_tunnel(site, site.gateway, index, node)
            elif site.router:
                self._site_attachment(site, site.router.attachments[index], node)
        best: dict[tuple[str, int], KernelRoute] = {}
        for route in self.running.learned:
            hop = next((n for n in segment.neighbours if n.device == interface_name(route.node)), None)
            if hop is not None and route.destination != site.range:
                place = route.destination, 1 + route.priority
                best.setdefault(
                    place, KernelRoute(route.destination, hop.device, hop.address, metric=1 + route.priority)
                )
        segment.routes |= {*best.values()}
        return segment

    def _site_tunnel(self, site: Site, gateway: VpnGateway, index: int, node: Space) -> None:
        if not gateway.dynamic:
            self.wiring.attach(node, "internet", self.internet, gateway.external_address, mtu=LINK_MTU)
            self.nodes.append(node_specs.site_gateway(site.range, gateway, node.name))
            return
        tunnel = gateway.tunnels[index]
        self._to_internet(node, gateway.external_address, tunnel.peer_ip, [DEFAULT])
        if tunnel.bgp is None or site.bgp is None:
            return
        end = RouteBased(
            gateway.external_address,
            tunnel.peer_ip,
            tunnel.shared_secret,
            tunnel.ike_version,
            _session(site, site.bgp, tunnel.bgp),
            initiate=False,
            cipher=tunnel.cipher,
        )
        self.nodes.append(node_specs.route_based(node.name, "on-prem-gateway", end))

    def _site_attachment(self, site: Site, end: CustomerAttachment, node: Space) -> None:
        if site.bgp is None:
            return
        session = _session(site, site.bgp, end.bgp)
        self._attachments.connect(end.attachment, node, session)
        self.nodes.append(node_specs.attachment(node.name, "on-prem-router", session))

    # -- the internet ---------------------------------------------------------------------------------------------

    def _to_internet(self, node: Space, address: str, peer: str, routes: list[str]) -> None:
        """Attach the node of a tunnel.  Of several with one address each gets what comes from its own peer."""
        port = self.wiring.attach(
            node, "internet", self.internet, address, mtu=LINK_MTU, gateway=DUMMY_GATEWAY, routes=routes
        )
        if address in self._taken:
            self.internet.routes.discard(KernelRoute(f"{address}/32", port))
        self._taken.add(address)
        table = self._tables.setdefault(peer, _FIRST_TABLE + len(self._tables))
        self.internet.routes.add(KernelRoute(f"{address}/32", port, table=table))
        self.internet.rules.add(RoutingRule(_PEER_RULE, f"{peer}/32", table))


def _session(site: Site, general: SiteBgp, given: Session) -> BgpSession:
    """A site's end of a session."""
    ranges = general.advertised_ranges or (site.range,)
    return BgpSession(
        given.ip_range,
        general.asn,
        given.peer_ip_address,
        given.peer_asn,
        general.keepalive_interval,
        tuple(Advertised(cidr, given.advertised_route_priority) for cidr in ranges),
        inside=(site.range,),
    )


def speakers(topology: Topology) -> Iterator[NameKey]:
    """The keys of the nodes in which BGP is spoken."""
    compute = topology.compute
    yield from (NameKey.node(one.full_name) for one in compute.vpn_tunnels if one.vpn_gateway is not None)
    yield from (NameKey.node(one.full_name) for one in compute.interconnect_attachments)
    for site in topology.on_prem.sites:
        if site.dynamic:
            yield from (NameKey.site_end(site.name, index) for index in range(site.way_out.ends))


def peer_address(topology: Topology, running: Running, tunnel: VpnTunnel) -> str | None:
    """The external address of the peer of a tunnel; None if it has none yet."""
    if tunnel.peer_external_gateway is not None:
        gateways = topology.compute.external_vpn_gateways
        (gateway,) = (one for one in gateways if one.full_name == tunnel.peer_external_gateway)
        return next(i.ip_address for i in gateway.interfaces if i.id == tunnel.peer_external_gateway_interface)
    if tunnel.peer_gcp_gateway is not None:
        return running.address(AddressKey.vpn_interface(tunnel.peer_gcp_gateway, tunnel.vpn_gateway_interface))
    return tunnel.peer_ip


def importers(topology: Topology, running: Running, network: str) -> Iterator[str]:
    """The ranges of peered networks that import a network's custom routes: they can be reached from behind them."""
    for (mine, theirs), sides in active(topology.networks).items():
        if mine == network and sides.mine.export_custom_routes and sides.theirs.import_custom_routes:
            yield from topology.ranges_of(theirs)
            yield from producers.ranges(topology, running, theirs)
