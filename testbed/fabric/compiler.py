"""The compiler: a topology and its running state in, the desired state of the kernel and of the nodes out.

Pure and deterministic: the same input gives the same plan.  `_Compiler` has one method per part of the picture.  The
modules of each part describe it (`vpc`, `serverless.region`, `node_specs`); this module only puts the parts together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from testbed.fabric import node_specs, producers
from testbed.fabric.allocation.addressing import inner_address, inner_share
from testbed.fabric.allocation.cloud_nat import gateways
from testbed.fabric.allocation.keys import AddressKey, NameKey, RangeKey, container_instances
from testbed.fabric.allocation.running import ConnectorInstance, Running
from testbed.fabric.dns import internal
from testbed.fabric.dns.server import NameServer
from testbed.fabric.dropping import drop
from testbed.fabric.firewall.chains import Nic
from testbed.fabric.hybrid import bgp
from testbed.fabric.hybrid.vpn import Gateways
from testbed.fabric.inventory import Participant, ParticipantKind, participants, require
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import Chain, Node, Plan, Table
from testbed.fabric.routing import routes
from testbed.fabric.routing.internet_gateway import PUBLIC_APIS, Edge
from testbed.fabric.serverless import capacity, direct_egress, ingress
from testbed.fabric.serverless.region import ConnectorEnds, Region, Runtime, connector_instance
from testbed.fabric.vpc import Translation, Vpc
from testbed.fabric.wiring import DEFAULT, Space, Wiring
from testbed.model import managed_rules
from testbed.model.compute.network import Network
from testbed.model.core.ranges import HEALTH_CHECKS, INTERNAL, PUBLIC_GOOGLE_API, usable
from testbed.model.core.resource import last
from testbed.model.core.well_known import FRONT_END, INTERNET, LOAD_GENERATOR
from testbed.model.drop_causes import ON_PREM_FIREWALL
from testbed.model.hybrid.outside import SiteFirewall
from testbed.model.serverless.capacity import Limits
from testbed.model.serverless.connector import Connector
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology

LINK_MTU = 1500
PROBER = "35.191.0.2"
"""The address that health-check probes come from, in the first documented range (behaviour 2.1.6)."""
FRONT_END_SOURCE = "35.191.0.3"
"""The address by which the front end reaches instances of the flexible environment."""


def compile_topology(topology: Topology, running: Running) -> Plan:
    """The plan of a topology in a running state.

    `running.allocations` must have been made by `addressing.allocate` for this topology.
    """
    require(topology, running)
    return _Compiler(topology, running, participants=participants(topology, running)).plan()


def connector_addresses(cidr: str) -> tuple[str, ...]:
    """Every address that an instance of a connector can have: what its counters are kept for."""
    return tuple(str(address) for address in usable(cidr))


@dataclass(slots=True)
class _Compiler:
    topology: Topology
    running: Running
    wiring: Wiring = field(default_factory=Wiring)
    nodes: list[Node] = field(default_factory=list)
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    seen: dict[Runtime, str | None] = field(default_factory=dict)
    """The network whose names each runtime sees."""
    participants: tuple[Participant, ...] = ()

    def plan(self) -> Plan:
        """Put the parts together, inside out."""
        internet = self.wiring.segment(INTERNET, loopback=str(PUBLIC_GOOGLE_API))
        connectors = {c.name: self._ends(c) for c in self.topology.vpcaccess.connectors}
        for network in self.topology.networks:
            self._network(network)
        self._instances()
        self._flexible()
        self.nodes += producers.place(self.topology, self.running, self.wiring, self.vpcs, self._of("redis"))
        self._runtimes(connectors)
        self._direct_interfaces()
        self._connector_instances(connectors)
        routes.peerings(self.topology, self.running, self.vpcs)
        there = {one.owner: one for one in self._of("gateway")}
        vpn = Gateways(self.topology, self.running, self.wiring, internet, there, self.nodes)
        vpn.classic(self.vpcs)
        vpn.high_availability(self.vpcs)
        vpn.attachments(self.vpcs)
        for index, network in enumerate(self.topology.compute.networks):
            self._connect(network, internet, connectors, index)
        self._front_end(internet)
        self._outside(internet, vpn)
        self._name_server()
        learned = partial(bgp.learned, self.topology, self.running)
        routes.lay(self.topology, self.running, self.vpcs, internet, learned)
        for vpc in self.vpcs.values():
            vpc.finish()
        for region in self.regions.values():
            region.finish()
        _finish_internet(internet)
        spaces = [space.frozen() for space in self.wiring.spaces.values()]
        veths = sorted(self.wiring.veths, key=lambda veth: (veth.a.namespace, veth.a.interface.name))
        return Plan(self.topology.name, tuple(spaces), tuple(veths), tuple(self.nodes))

    def _address(self, key: AddressKey) -> str:
        return self.running.address(key)

    def _share(self, region: str) -> str:
        return self.running.range(RangeKey.outer_share(region))

    def _name(self, key: NameKey) -> str:
        return self.running.name(key)

    # -- the networks ---------------------------------------------------------------------------------------------

    def _network(self, network: Network) -> None:
        name, ranges = self._name(NameKey.network(network.full_name)), self.topology.ranges_of(network.full_name)
        ranges += producers.ranges(self.topology, self.running, network.full_name)
        vpc = Vpc.begin(self.wiring, name, network.mtu, ranges)
        self.vpcs[network.full_name] = vpc
        vpc.rules += [rule for rule in self.topology.compute.firewalls if rule.network == network.full_name]
        vpc.rules += [rule for _, rule in managed_rules.of_connectors(self.topology, network.full_name)]
        vpc.policies = self.topology.policies_of(network.full_name)
        vpc.policies_first = network.network_firewall_policy_enforcement_order == "BEFORE_CLASSIC_FIREWALL"
        for connector in self.topology.connectors_in(network.full_name):
            cidr = self.topology.connector_range(connector)
            vpc.counted.append((cidr, connector_addresses(cidr)))

    def _of(self, kind: ParticipantKind) -> Iterator[Participant]:
        return (one for one in self.participants if one.kind == kind)

    def _instances(self) -> None:
        instances = {instance.full_name: instance for instance in self.topology.compute.instances}
        for one in self._of("vm"):
            if not one.runs:
                continue
            vpc, sysctls = self.vpcs[one.network], node_specs.FORWARDING if one.forwards else {}
            node = self.wiring.node(one.node, sysctls)
            vpc.attach(node, "eth0", Nic.of(one), one.range, forwards=one.forwards)
            if one.external is not None:
                vpc.translations.append(Translation(one.name, one.address, one.external))
            self.nodes.append(node_specs.vm(instances[one.owner], one.node))

    def _flexible(self) -> None:
        """Instances of the flexible environment are like VMs of the network (behaviour 3.6)."""
        workloads = {workload.name: workload for workload, _ in self.topology.flexible}
        for one in self._of("flexible"):
            workload, vpc = workloads[one.owner], self.vpcs[one.network]
            vpc.attach(self.wiring.node(one.node), "eth0", Nic.of(one), one.range)
            (tag,) = one.tags
            rule = managed_rules.for_flexible(workload.id, one.network, tag, workload.port)
            if rule not in vpc.rules:
                vpc.rules.append(rule)
            search = internal.search(internal.project_of(one.network))
            self.nodes.append(node_specs.runtime(workload, one.node, *self._environment(workload), search))

    # -- connectors and runtimes ----------------------------------------------------------------------------------

    def _ends(self, connector: Connector) -> ConnectorEnds:
        instances = [i for i in self.running.instances if i.connector == connector.name]
        return ConnectorEnds(
            connector.name,
            _identifier(connector.name),
            self.topology.connector_range(connector),
            tuple(i.address for i in instances),
            tuple(i.address for i in instances if i.health == "healthy"),
        )

    def _runtimes(self, connectors: dict[str, ConnectorEnds]) -> None:
        for name in self.topology.serverless_regions:
            segment, pool = self._name(NameKey.region(name)), self.running.range(RangeKey.egress_pool(name))
            self.regions[name] = Region.begin(self.wiring, segment, self._share(name), pool)
        for workload in self.topology.workloads:
            if workload.kind == "app-engine-flexible":
                continue
            for one in container_instances(workload):
                node, outer = self._name(NameKey.runtime(one)), self._address(AddressKey.outer(one))
                direct = workload.direct is not None
                runtime = Runtime(node, outer, workload.connector, workload.egress, direct)
                self.seen[runtime] = self.topology.reached_network(workload)
                self.regions[workload.region].attach(runtime, connectors.get(workload.connector or ""))
                task = {"CLOUD_RUN_TASK_INDEX": str(one.number)} if workload.kind == "cloud-run-job" else {}
                environment, secrets = self._environment(workload)
                self.nodes.append(node_specs.runtime(workload, node, {**environment, **task}, secrets))

    def _direct_interfaces(self) -> None:
        egress = {workload.name: workload.egress for workload in self.topology.workloads}
        for one in self._of("direct"):
            vpc, node = self.vpcs[one.network], self.wiring.node(one.node)
            direct_egress.attach(vpc, node, Nic.of(one), egress[one.owner], one.range)

    def _name_server(self) -> None:
        """Google's name server, for all networks and runtimes."""
        if not self.topology.has_names:
            return
        server = NameServer.begin(self.topology, self.running, self.wiring, self.participants)
        for name, region in self.regions.items():
            server.region(name, region, self.seen)
        for network, vpc in ((one.full_name, self.vpcs[one.full_name]) for one in self.topology.compute.networks):
            server.network(network, vpc)
        self.nodes.append(server.node())

    def _environment(self, workload: Workload) -> tuple[dict[str, str], dict[str, str]]:
        """The environment of a workload, and apart from it the variables that are secrets, resolved."""
        payloads = {
            f"sm://{secret.name.split('/')[1]}/{last(secret.name)}": self.running.auth_strings.get(
                secret.redis_auth_string, ""
            )
            for secret in self.topology.secretmanager.secrets
        }
        given = workload.environment.items()
        plain = {name: value for name, value in given if value not in payloads}
        secrets = {name: payloads[value] for name, value in given if value in payloads}
        return {"PORT": str(workload.port), **plain}, secrets

    def _connector_instances(self, connectors: dict[str, ConnectorEnds]) -> None:
        runtimes = [runtime for region in self.regions.values() for runtime in region.runtimes]
        known = {instance.name: instance for instance in self.running.instances}
        for one in self._of("connector"):
            node, ends = self.wiring.node(one.node), connectors[one.owner]
            limits = self._limits(known[one.node])
            self.vpcs[one.network].attach(
                node, "eth0", Nic.of(one), one.range, mtu=LINK_MTU, segments=capacity.segments(limits)
            )
            connector_instance(node, ends, [r for r in runtimes if r.connector == one.owner], limits)
            self.nodes.append(node_specs.connector(known[one.node]))

    def _limits(self, instance: ConnectorInstance) -> Limits:
        """The capacity of an instance."""
        (connector,) = (c for c in self.topology.vpcaccess.connectors if c.name == instance.connector)
        return self.topology.capacity_of(connector).limits(instance.machine_type)

    # -- the ways out of a network --------------------------------------------------------------------------------

    def _connect(self, network: Network, internet: Space, connectors: dict[str, ConnectorEnds], index: int) -> None:
        vpc = self.vpcs[network.full_name]
        self._edge(network, vpc, internet)
        mine = self.topology.connectors_in(network.full_name)
        for name, region in self.regions.items():
            ends = [connectors[c.name] for c in mine if c.region == name]
            if ends:
                region.connect_vpc(vpc.space, self._share(name), ends, index)
        if mine or any(place.name == network.full_name for _, place in self.topology.flexible):
            google = self.wiring.segment(self._name(NameKey.google(network.full_name)), loopback=PROBER)
            self.wiring.join(vpc.space, google, mtu=LINK_MTU)
            self.wiring.route(vpc.space, map(str, HEALTH_CHECKS), google)
            self.wiring.route(google, [DEFAULT], vpc.space)
            google.tables.append(_answers_only(interface_name(vpc.space.name)))

    def _edge(self, network: Network, vpc: Vpc, internet: Space) -> None:
        """The default internet gateway, with Cloud NAT and Google's APIs behind it."""
        name, ranges = network.full_name, self.topology.ranges_of(network.full_name)
        edge = Edge.begin(self.wiring, self._name(NameKey.edge(name)), vpc, internet, ranges)
        for router in (one for one in self.topology.compute.routers if one.network == name):
            for gateway in gateways(self.topology, router, self.running.allocations.addresses):
                edge.translate(gateway, self._name(NameKey.nat(gateway.router, gateway.name)))
        edge.finish()
        vpc.google_access += [
            subnet.ip_cidr_range
            for subnet in self.topology.compute.subnetworks
            if subnet.network == name and subnet.private_ip_google_access
        ]
        hidden = (one.ip_cidr_range for one in self.topology.connectors_in(name))  # behaviour 1.6.5
        vpc.google_access += [cidr for cidr in hidden if cidr]

    # -- the outside ----------------------------------------------------------------------------------------------

    def _front_end(self, internet: Space) -> None:
        """The front end has a foot on the internet and one in each region and each network with flexible instances."""
        if not self.topology.served:
            return
        node = self.wiring.node(FRONT_END)
        self.wiring.attach(node, "internet", internet, self._address(AddressKey.front_end()), mtu=LINK_MTU)
        for name, region in self.regions.items():
            address = inner_address(self._address(AddressKey.front_end_in(name)))
            device = interface_name(region.space.name)
            region.attach_front_end(node, device, address, inner_share(self._share(name)))
        flexible: dict[str, list[str]] = {}
        for one in self._of("flexible"):
            flexible.setdefault(one.network, []).append(f"{one.address}/32")
        for network, targets in flexible.items():
            google = self.wiring.spaces[self._name(NameKey.google(network))]
            self.wiring.attach(
                node, interface_name(google.name), google, FRONT_END_SOURCE, mtu=LINK_MTU, routes=targets
            )
        upstreams = {
            w.name: [self._address(AddressKey.interface(one)) for one in container_instances(w)]
            if w.kind == "app-engine-flexible"
            else [inner_address(self._address(AddressKey.outer(one))) for one in container_instances(w)]
            for w in self.topology.served
        }
        admitted = {w.name: [*map(ingress.mark, ingress.admitted(self.topology, w))] for w in self.topology.served}
        node.tables.append(ingress.guard())
        self.nodes.append(node_specs.front_end(self.topology.served, upstreams, admitted))

    def _outside(self, internet: Space, vpn: Gateways) -> None:
        for region in self.regions.values():
            region.connect_internet(internet)
        for host in self.topology.internet.hosts:
            name = self._name(NameKey.internet_host(host.name))
            self.wiring.attach(self.wiring.node(name), "eth0", internet, host.address, mtu=LINK_MTU)
            self.nodes.append(node_specs.host(host, name, "internet-host"))
        if self.running.load_generator:
            address = self._address(AddressKey.load_generator())
            self.wiring.attach(self.wiring.node(LOAD_GENERATOR), "eth0", internet, address, mtu=LINK_MTU)
            names = {w.host: self._address(AddressKey.front_end()) for w in self.topology.served}
            self.nodes.append(node_specs.load_generator(names))
        for site in self.topology.on_prem.sites:
            segment = vpn.site(site)
            for host in site.hosts:
                name = self._name(NameKey.site_host(site.name, host.name))
                self.wiring.attach(self.wiring.node(name), "eth0", segment, host.address, mtu=LINK_MTU)
                self.nodes.append(node_specs.host(host, name, "on-prem-host"))
            segment.tables.append(self.wiring.anti_spoofing(segment))
            if site.firewall is not None:
                segment.tables.append(_site_firewall(segment, site.firewall))


def _site_firewall(segment: Space, firewall: SiteFirewall) -> Table:
    """What comes into a site by its gateway has to be allowed (behaviour 4.11.4)."""
    allowed = segment.set_of("hash:net", firewall.allowed_sources, purpose="allowed")
    foreign = f"-m set ! --match-set {allowed} src {drop(ON_PREM_FIREWALL)}"
    rules = (
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        *(f"-i {device} {foreign}" for device in sorted(segment.anywhere)),
    )
    return Table("filter", (Chain("FORWARD", "ACCEPT", rules),))


def _identifier(connector: str) -> int:
    """The network identifier of a connector's tunnels (24 bits); that of others does not change when one goes."""
    return int.from_bytes(hashlib.sha256(connector.encode()).digest()[:3]) or 1


def _answers_only(network: str) -> Table:
    """Google's probers and front ends open connections, and take no other packets from a network (behaviour 4.3.11).

    They drop these without a word.
    """
    known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    chains = Chain("INPUT", "DROP", (known,)), Chain("FORWARD", "DROP", (known, f"! -i {network} -j ACCEPT"))
    return Table("filter", chains)


def _finish_internet(internet: Space) -> None:
    """Private addresses are not routed on the internet, which has Google's APIs itself."""
    internal = internet.set_of("hash:net", map(str, INTERNAL))
    bogons = tuple(f"-m set --match-set {internal} {side} -j DROP" for side in ("src", "dst"))
    internet.tables += [
        Table("filter", (Chain("INPUT", "ACCEPT", PUBLIC_APIS), Chain("FORWARD", "ACCEPT", bogons))),
    ]
