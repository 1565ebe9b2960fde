"""The cloud as the oracle sees it: the interfaces that there are, and the rules of each network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.allocation.cloud_nat import address_keys
from testbed.fabric.allocation.keys import AddressKey, NameKey, RangeKey, container_instances
from testbed.fabric.allocation.running import ConnectorInstance, Running
from testbed.model.compute.firewall import Firewall
from testbed.model.compute.router import RouterNat
from testbed.model.managed_rules import for_flexible, of_connectors
from testbed.model.serverless.appengine import FlexibleNetwork
from testbed.model.serverless.connector import Connector
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology

_USABLE_PORTS = 64512
"""Of each NAT address and protocol (behaviour 4.13.3)."""


@dataclass(frozen=True, slots=True)
class Nic:
    """The interface of an instance in a network."""

    owner: str
    network: str
    address: str
    tags: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    external: str | None = None
    """Its own external address."""
    nat: frozenset[str] = frozenset()
    """The addresses of the Cloud NAT gateway that serves it otherwise."""
    google_access: bool = False
    """Whether its subnet has Private Google Access (behaviour 4.8.1)."""
    forwards: bool = False
    """Whether it may send, and is given, packets of other addresses (`canIpForward`)."""
    runs: bool = True
    region: str = ""
    answers: bool = True
    """Whether it takes connections: nothing can be reached by a connector's instances (behaviour 2.1.3).

    Nor by the interfaces of Direct VPC egress, which is for egress (behaviour 7.2)."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis instance in the network of its producer."""

    network: str
    """The producer's."""
    consumer: str
    """The authorized network."""
    range: str
    address: str
    port: int
    private: bool
    """Whether it is behind a private connection (behaviour 4.9.1)."""


@dataclass(frozen=True)
class Cloud:
    """A topology and its running state, looked up by what a packet carries."""

    topology: Topology
    running: Running

    @cached_property
    def nics(self) -> tuple[Nic, ...]:
        """Every interface."""
        return (
            *self._instances(),
            *self._connector_instances(),
            *self._direct_interfaces(),
            *self._flexible_instances(),
        )

    @cached_property
    def servers(self) -> tuple[Server, ...]:
        """Every Redis instance."""
        return tuple(self._servers())

    def private_services(self, producer: str) -> list[str]:
        """The ranges of the instances behind a private connection, by its producer's network (behaviour 4.9.3)."""
        return [server.range for server in self.servers if server.private and server.network == producer]

    def nic(self, network: str, address: str) -> Nic | None:
        """The interface of a network that has an internal address."""
        return next((nic for nic in self.nics if (nic.network, nic.address) == (network, address)), None)

    def exposed(self, address: str) -> Nic | None:
        """The interface that has an external address."""
        return next((nic for nic in self.nics if nic.external == address), None)

    def rules(self, network: str) -> Iterator[Firewall]:
        """The enforced rules of a network: the user's, and those that Google makes (behaviour 2.2.2, 4.1.14)."""
        yield from (rule for rule in self.topology.compute.firewalls if rule.network == network and not rule.disabled)
        yield from (rule for _, rule in of_connectors(self.topology, network))
        for workload, place in self.topology.flexible:
            if place.name == network:
                yield for_flexible(workload.id, network, _tag(workload, place), workload.port)

    def healthy(self, connector: Connector) -> list[Nic]:
        """The interfaces of the connector's instances that get new flows."""
        names = {i.name for i in self.running.instances if (i.connector, i.health) == (connector.name, "healthy")}
        return [nic for nic in self.nics if nic.owner in names]

    def _instances(self) -> Iterator[Nic]:
        for instance in self.topology.compute.instances:
            subnet = self.topology.subnetworks[instance.nic.subnetwork]
            external = (
                self.running.address(AddressKey.external(instance.full_name)) if instance.nic.access_configs else None
            )
            yield Nic(
                self.running.name(NameKey.node(instance.full_name)),
                subnet.network,
                self.running.address(AddressKey.instance(instance.full_name)),
                frozenset(instance.tags.items),
                frozenset(account.email for account in instance.service_accounts),
                external,
                self._nat(subnet.network, subnet.region, subnet.full_name),
                subnet.private_ip_google_access,
                instance.can_ip_forward,
                instance.runs,
                instance.region,
            )

    def _connector_instances(self) -> Iterator[Nic]:
        connectors = {connector.name: connector for connector in self.topology.vpcaccess.connectors}
        for instance in self.running.instances:
            yield self._connector_instance(instance, connectors[instance.connector])

    def _connector_instance(self, instance: ConnectorInstance, connector: Connector) -> Nic:
        """A connector's VM: two tags, no external address, and in a subnet that may have no name (behaviour 2.4.1)."""
        network, cidr = self.topology.connector_network(connector), self.topology.connector_range(connector)
        named = (s for s in self.topology.compute.subnetworks if (s.network, s.ip_cidr_range) == (network, cidr))
        subnet = next(named, None)  # a hidden one has Private Google Access (behaviour 1.6.5)
        return Nic(
            instance.name,
            network,
            instance.address,
            frozenset(connector.network_tags),
            nat=self._nat(network, connector.region, subnet.full_name if subnet else None),
            google_access=subnet is None or subnet.private_ip_google_access,
            region=connector.region,
            answers=False,
        )

    def crowded(self, nic: Nic) -> bool:
        """Whether the gateway that serves an interface has fewer blocks of ports than interfaces (behaviour 4.13.3).

        Google does not say which of them have none then.
        """
        served = [one for one in self.nics if one.nat == nic.nat and not one.external and one.runs]
        least = next(
            nat.least_ports
            for router in self.topology.compute.routers
            for nat in router.nats
            if nic.nat == {self.running.address(key) for key in address_keys(self.topology, router, nat)}
        )
        return len(served) > len(nic.nat) * (_USABLE_PORTS // min(least, _USABLE_PORTS))

    def _direct_interfaces(self) -> Iterator[Nic]:
        """An address of the subnet for each instance of a workload, with the workload's tags (behaviour 7.2)."""
        for workload in self.topology.workloads:
            if workload.direct is None:
                continue
            subnet = self.topology.subnetworks[workload.direct.subnetwork]
            nat = self._nat(subnet.network, subnet.region, subnet.full_name)
            for one in container_instances(workload):
                node, address = self.running.name(NameKey.runtime(one)), self.running.address(AddressKey.interface(one))
                yield Nic(
                    node,
                    subnet.network,
                    address,
                    workload.direct.tags,
                    nat=nat,
                    google_access=subnet.private_ip_google_access,
                    region=subnet.region,
                    answers=False,
                )

    def _flexible_instances(self) -> Iterator[Nic]:
        """An instance of the flexible environment is like a VM of the network (behaviour 3.6)."""
        for workload, place in self.topology.flexible:
            subnet = self.topology.subnetworks[place.subnetwork_name]
            (one,) = container_instances(workload)
            yield Nic(
                self.running.name(NameKey.runtime(one)),
                subnet.network,
                self.running.address(AddressKey.interface(one)),
                frozenset({_tag(workload, place)}),
                nat=self._nat(subnet.network, subnet.region, subnet.full_name),
                google_access=subnet.private_ip_google_access,
                region=subnet.region,
            )

    def _servers(self) -> Iterator[Server]:
        for redis in self.topology.redis.instances:
            cidr, connection = self.running.range(RangeKey.redis(redis.full_name)), self.topology.connection(redis)
            network = connection.producer if connection else redis.full_name
            host = str(IPv4Network(cidr)[3])
            yield Server(network, redis.authorized_network, cidr, host, redis.port, connection is not None)

    def _nat(self, network: str, region: str, subnet: str | None) -> frozenset[str]:
        """Cloud NAT is regional, and serves all subnets or those that are named (behaviour 4.13.1, 3.3.3)."""
        return frozenset(
            self.running.address(key)
            for router in self.topology.compute.routers
            if (router.network, router.region) == (network, region)
            for nat in router.nats
            if _serves(nat, subnet)
            for key in address_keys(self.topology, router, nat)
        )


def _tag(workload: Workload, place: FlexibleNetwork) -> str:
    """The network tag of a flexible version's instances (behaviour 3.6)."""
    return place.instance_tag or f"aef-{workload.id}"


def _serves(nat: RouterNat, subnet: str | None) -> bool:
    return not nat.subnetworks or subnet in {entry.name for entry in nat.subnetworks}


def within(address: str, cidr: str) -> bool:
    """Whether a range has an address."""
    return IPv4Address(address) in IPv4Network(cidr)
