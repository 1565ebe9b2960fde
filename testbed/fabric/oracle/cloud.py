"""The cloud as the oracle sees it: the interfaces that there are, and the rules of each network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from testbed.fabric.managed_rules import of_connectors
from testbed.fabric.nat import auto_address
from testbed.fabric.running import ConnectorInstance, Running
from testbed.model.firewall import Firewall
from testbed.model.router import RouterNat
from testbed.model.topology import Topology
from testbed.model.vpcaccess import Connector


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
    runs: bool = True
    answers: bool = True
    """Whether it takes connections: nothing can be reached by a connector's instances (behaviour 2.1.3)."""


@dataclass(frozen=True)
class Cloud:
    """A topology and its running state, looked up by what a packet carries."""

    topology: Topology
    running: Running

    @cached_property
    def nics(self) -> tuple[Nic, ...]:
        """Every interface."""
        return (*self._instances(), *self._connector_instances())

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

    def healthy(self, connector: Connector) -> list[Nic]:
        """The interfaces of the connector's instances that get new flows."""
        names = {i.name for i in self.running.instances if (i.connector, i.health) == (connector.name, "healthy")}
        return [nic for nic in self.nics if nic.owner in names]

    def _instances(self) -> Iterator[Nic]:
        for instance in self.topology.compute.instances:
            subnet = self.topology.subnetworks[instance.nic.subnetwork]
            external = f"{instance.full_name}/external" if instance.nic.access_configs else None
            yield Nic(
                self.running.name(instance.full_name),
                subnet.network,
                self.running.addresses[instance.full_name],
                frozenset(instance.tags.items),
                frozenset(account.email for account in instance.service_accounts),
                external and self.running.addresses[external],
                self._nat(subnet.network, subnet.region, subnet.full_name),
                instance.runs,
            )

    def _connector_instances(self) -> Iterator[Nic]:
        connectors = {connector.name: connector for connector in self.topology.vpcaccess.connectors}
        for instance in self.running.instances:
            yield self._connector_instance(instance, connectors[instance.connector])

    def _connector_instance(self, instance: ConnectorInstance, connector: Connector) -> Nic:
        """A connector's VM: two tags, no external address, and in a subnet that may have no name (behaviour 2.4.1)."""
        network, cidr = self.topology.connector_network(connector), self.topology.connector_range(connector)
        named = (
            s.full_name for s in self.topology.compute.subnetworks if (s.network, s.ip_cidr_range) == (network, cidr)
        )
        nat = self._nat(network, connector.region, next(named, None))
        tags = frozenset(connector.network_tags)
        return Nic(instance.name, network, instance.address, tags, nat=nat, answers=False)

    def _nat(self, network: str, region: str, subnet: str | None) -> frozenset[str]:
        """Cloud NAT is regional, and serves all subnets or those that are named (behaviour 4.13.1, 3.3.3)."""
        return frozenset(
            self.running.addresses[key]
            for router in self.topology.compute.routers
            if (router.network, router.region) == (network, region)
            for nat in router.nats
            if _serves(nat, subnet)
            for key in nat.nat_ips or (auto_address(router, nat),)
        )


def _serves(nat: RouterNat, subnet: str | None) -> bool:
    return not nat.subnetworks or subnet in {entry.name for entry in nat.subnetworks}


def within(address: str, cidr: str) -> bool:
    """Whether a range has an address."""
    return IPv4Address(address) in IPv4Network(cidr)
