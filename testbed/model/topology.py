"""A topology: the set of resources that a testbed is made from, grouped by the API they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from testbed.model.compute.firewall import Firewall
from testbed.model.compute.firewall_policy import NetworkFirewallPolicy, RegionNetworkFirewallPolicy
from testbed.model.compute.instance import Instance
from testbed.model.compute.network import Address, GlobalAddress, Network, Route, Subnetwork, auto_subnetworks
from testbed.model.compute.router import Router
from testbed.model.core.names import LONGEST_TESTBED
from testbed.model.core.projects import project_number
from testbed.model.core.resource import ComputeName, RegionName, Resource, ZoneName
from testbed.model.hybrid.interconnect import InterconnectAttachment
from testbed.model.hybrid.outside import Host, Site
from testbed.model.hybrid.vpn import ExternalVpnGateway, ForwardingRule, HaVpnGateway, TargetVpnGateway, VpnTunnel
from testbed.model.managed.dns import ManagedZone, ResourceRecordSet
from testbed.model.managed.private_services import GOOGLE, PrivateConnection
from testbed.model.managed.redis import RedisInstance
from testbed.model.managed.secrets import Secret
from testbed.model.serverless.appengine import AppEngineService, Application, FlexibleNetwork, Version
from testbed.model.serverless.capacity import DEFAULT_CAPACITY, Capacity
from testbed.model.serverless.connector import Connector
from testbed.model.serverless.functions import Function
from testbed.model.serverless.run import Execution, Revision, Service, serving
from testbed.model.serverless.workload import Workload, from_execution, from_function, from_service, from_version


def _short(value: str) -> str:
    if len(value) > LONGEST_TESTBED:
        raise ValueError(f"a testbed's name has at most {LONGEST_TESTBED} characters, {value!r} has {len(value)}")
    return value


class Compute(Resource):
    """Resources of compute v1."""

    networks: tuple[Network, ...] = ()
    subnetworks: tuple[Subnetwork, ...] = ()
    firewalls: tuple[Firewall, ...] = ()
    network_firewall_policies: tuple[NetworkFirewallPolicy, ...] = ()
    region_network_firewall_policies: tuple[RegionNetworkFirewallPolicy, ...] = ()
    routes: tuple[Route, ...] = ()
    addresses: tuple[Address, ...] = ()
    global_addresses: tuple[GlobalAddress, ...] = ()
    routers: tuple[Router, ...] = ()
    instances: tuple[Instance, ...] = ()
    target_vpn_gateways: tuple[TargetVpnGateway, ...] = ()
    forwarding_rules: tuple[ForwardingRule, ...] = ()
    vpn_gateways: tuple[HaVpnGateway, ...] = ()
    external_vpn_gateways: tuple[ExternalVpnGateway, ...] = ()
    vpn_tunnels: tuple[VpnTunnel, ...] = ()
    interconnect_attachments: tuple[InterconnectAttachment, ...] = ()

    @model_validator(mode="after")
    def _auto_mode_networks_have_their_subnets(self) -> Self:
        known = {subnet.full_name for subnet in self.subnetworks}
        made = [
            subnet
            for network in self.networks
            if network.auto_create_subnetworks
            for subnet in auto_subnetworks(network.full_name)
            if subnet.full_name not in known
        ]
        return self.model_copy(update={"subnetworks": (*self.subnetworks, *made)}) if made else self


class VpcAccess(Resource):
    """Resources of vpcaccess v1."""

    connectors: tuple[Connector, ...] = ()


class Run(Resource):
    """Resources of run v2."""

    services: tuple[Service, ...] = ()
    revisions: tuple[Revision, ...] = ()
    """In the order in which they were made.  A service without one runs its template."""
    executions: Annotated[tuple[Execution, ...], SkipJsonSchema()] = Field(default=(), exclude=True)
    """Those that run now: no file has them."""


class CloudFunctions(Resource):
    """Resources of cloudfunctions v2."""

    functions: tuple[Function, ...] = ()


class AppEngine(Resource):
    """Resources of appengine v1."""

    application: Application | None = None
    services: tuple[AppEngineService, ...] = ()
    """Which versions get the traffic.  The version of a service that does not stand here gets it."""
    versions: tuple[Version, ...] = ()

    @model_validator(mode="after")
    def _versions_have_an_application(self) -> Self:
        for version in self.versions:
            if self.application is None or version.app != self.application.id:
                raise ValueError(f"the application of {version.name} is not declared (appengine.application)")
        known = {version.name for version in self.versions}
        for service in self.services:
            if service.serving not in known:
                raise ValueError(f"{service.serving}, which gets the traffic of its service, is not declared")
        return self

    def service_of(self, version: Version) -> AppEngineService | None:
        """The service of a version, if it was said anything of."""
        name = version.name.rpartition("/versions/")[0]
        return next((service for service in self.services if service.name == name), None)

    @property
    def running(self) -> list[Version]:
        """The versions that run: they are not stopped, and get their services' traffic."""
        chosen = {service.name: service.serving for service in self.services}
        return [
            version
            for version in self.versions
            if version.serving_status == "SERVING"
            and chosen.get(version.name.rpartition("/versions/")[0], version.name) == version.name
        ]


class ServiceNetworking(Resource):
    """Resources of servicenetworking v1."""

    connections: tuple[PrivateConnection, ...] = ()


class Redis(Resource):
    """Resources of redis v1."""

    instances: tuple[RedisInstance, ...] = ()


class SecretManager(Resource):
    """Resources of secretmanager v1."""

    secrets: tuple[Secret, ...] = ()


class Dns(Resource):
    """Resources of dns v1."""

    managed_zones: tuple[ManagedZone, ...] = ()
    resource_record_sets: tuple[ResourceRecordSet, ...] = ()


class Internet(Resource):
    """Hosts on the internet."""

    hosts: tuple[Host, ...] = ()


class OnPrem(Resource):
    """On-prem sites."""

    sites: tuple[Site, ...] = ()


class Topology(Resource):
    """Everything that a testbed should have."""

    name: Annotated[ComputeName, AfterValidator(_short)]
    """The testbed's name; what it makes on the host carries it."""
    project: ComputeName
    """The project of resources whose names do not say one (gcloud's property core/project)."""
    region: RegionName | None = None
    """gcloud's property compute/region."""
    zone: ZoneName | None = None
    """gcloud's property compute/zone."""
    capacity: Capacity | None = None
    """The capacity of connectors that have none of their own; None: that of their machine types."""

    compute: Compute = Compute()
    vpcaccess: VpcAccess = VpcAccess()
    run: Run = Run()
    cloudfunctions: CloudFunctions = CloudFunctions()
    appengine: AppEngine = AppEngine()
    servicenetworking: ServiceNetworking = ServiceNetworking()
    redis: Redis = Redis()
    secretmanager: SecretManager = SecretManager()
    dns: Dns = Dns()
    internet: Internet = Internet()
    on_prem: OnPrem = OnPrem()

    @property
    def project_number(self) -> int:
        """The project's number."""
        return project_number(self.project)

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """Services, functions and App Engine versions, and executions of jobs."""
        return tuple(self._workloads())

    @cached_property
    def served(self) -> tuple[Workload, ...]:
        """The workloads that the front end sends requests to."""
        return tuple(workload for workload in self.workloads if workload.kind != "cloud-run-job")

    def _workloads(self) -> Iterator[Workload]:
        for service in self.run.services:
            yield from_service(service, serving(service, self.run.revisions))
        for execution in self.run.executions:
            yield from_execution(execution)
        for function in self.cloudfunctions.functions:
            yield from_function(function)
        for version in self.appengine.running:
            if self.appengine.application is not None:
                yield from_version(version, self.appengine.application, self.appengine.service_of(version))

    @cached_property
    def serverless_regions(self) -> tuple[str, ...]:
        """The regions that have connectors, or workloads that are not in a network."""
        names = {w.region for w in self.workloads if w.kind != "app-engine-flexible"}
        return tuple(sorted(names | {c.region for c in self.vpcaccess.connectors}))

    @property
    def has_names(self) -> bool:
        """Whether there is somebody whom the name server answers."""
        return bool(self.compute.networks or self.serverless_regions)

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The networks, and those of producers, which private connections peer them with (behaviour 4.9.3)."""
        connections = self.servicenetworking.connections
        if not connections:
            return self.compute.networks
        peerings = {n.full_name: n.peerings for n in self.compute.networks}
        mtus = {network.full_name: network.mtu for network in self.compute.networks}
        for connection in connections:
            peerings[connection.network] += (connection.peering,)
        mine = (n.model_copy(update={"peerings": peerings[n.full_name]}) for n in self.compute.networks)
        return (*mine, *(connection.producer_network(mtus[connection.network]) for connection in connections))

    def connection(self, redis: RedisInstance) -> PrivateConnection | None:
        """The private connection that a Redis instance is reached by; None of one with direct peering."""
        wanted = None if redis.direct else f"{redis.authorized_network}/{GOOGLE}"
        return next((c for c in self.servicenetworking.connections if c.full_name == wanted), None)

    @cached_property
    def subnetworks(self) -> Mapping[str, Subnetwork]:
        """Subnetworks by full name."""
        return {subnet.full_name: subnet for subnet in self.compute.subnetworks}

    @cached_property
    def flexible(self) -> tuple[tuple[Workload, FlexibleNetwork], ...]:
        """The workloads that live in a network, with the place where they do."""
        places = {version.name: version.network for version in self.appengine.versions}
        return tuple((w, place) for w in self.workloads if (place := places.get(w.name)) is not None)

    def policies_of(self, network: str) -> tuple[NetworkFirewallPolicy, ...]:
        """The firewall policies of a network in the order in which they are tried: regional ones come last."""
        known = (*self.compute.network_firewall_policies, *self.compute.region_network_firewall_policies)
        return tuple(policy for policy in known if network in policy.networks)

    def reached_network(self, workload: Workload) -> str | None:
        """The full name of the network that a workload has a way into: its own, or that of its connector."""
        if workload.direct is not None:
            return self.subnetworks[workload.direct.subnetwork].network
        known = (one for one in self.vpcaccess.connectors if one.name == workload.connector)
        return next(map(self.connector_network, known), None)

    def connector_network(self, connector: Connector) -> str:
        """The full name of the network that a connector is in."""
        return connector.network or self._subnet_of(connector).network

    def connector_range(self, connector: Connector) -> str:
        """The /28 of a connector."""
        return connector.ip_cidr_range or self._subnet_of(connector).ip_cidr_range

    def capacity_of(self, connector: Connector) -> Capacity:
        """How much each instance of a connector carries."""
        return connector.capacity or self.capacity or DEFAULT_CAPACITY

    def ranges_of(self, network: str) -> list[str]:
        """The ranges of a network's subnets, hidden ones of connectors among them (behaviour 4.5.8)."""
        subnets = [s.ip_cidr_range for s in self.compute.subnetworks if s.network == network]
        return list(dict.fromkeys([*subnets, *map(self.connector_range, self.connectors_in(network))]))

    def connectors_in(self, network: str) -> list[Connector]:
        """The connectors of a network."""
        return [c for c in self.vpcaccess.connectors if self.connector_network(c) == network]

    def _subnet_of(self, connector: Connector) -> Subnetwork:
        return self.subnetworks[connector.subnet_name]
