"""What addresses, ranges and names are given out for.

A key is a value: what it is for, the owner, and what of the owner's it is.  There are three types of them, so that a
range is never looked up where an address is wanted.  All keys are made by the class methods here, one per use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from testbed.model.serverless.workload import Workload

SERVING = ""
"""The one revision of a workload that runs today, whichever it is: what it has stays with the next one."""


@dataclass(frozen=True, slots=True, order=True)
class ContainerInstance:
    """One container instance of a workload: its node, and each of its NICs, is something's owner."""

    workload: str
    """Its full name."""
    number: int
    revision: str = SERVING


def container_instances(workload: Workload) -> list[ContainerInstance]:
    """All container instances of a workload, in their order."""
    return [ContainerInstance(workload.name, number) for number in range(workload.instances)]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What all keys have."""

    use: str
    """What it is for: each class method has its own word; none, if it is the owner, a resource, by its full name."""
    owner: str
    """The full name of a resource, or what is none of Google's is called in the topology."""
    part: str = ""
    """What of the owner's it is, by name."""
    revision: str = ""
    number: int = 0

    def __str__(self) -> str:
        """As errors call it: the owner, and what of it."""
        words = (self.owner, self.use, self.part, self.revision, str(self.number or ""))
        return "/".join(word for word in words if word)


@dataclass(frozen=True, slots=True, order=True)
class AddressKey(Key):
    """What an address is given out for."""

    @classmethod
    def instance(cls, instance: str) -> Self:
        """The internal address of a VM instance; the instance owns it."""
        return cls("", instance)

    @classmethod
    def external(cls, instance: str) -> Self:
        """The external address of a VM instance that has one; the instance owns it."""
        return cls("external", instance)

    @classmethod
    def reserved(cls, address: str) -> Self:
        """A reserved regional address, internal or external; the resource of that name owns it."""
        return cls("", address)

    @classmethod
    def interface(cls, of: ContainerInstance) -> Self:
        """The address of a container instance in a VPC network: of Direct VPC egress, or of the flexible environment.

        The container instance owns it.
        """
        return cls("interface", of.workload, "", of.revision, of.number)

    @classmethod
    def outer(cls, of: ContainerInstance) -> Self:
        """The address of a container instance's tunnel ends, of the serverless range; the container instance owns it.

        That of its NIC follows from it.
        """
        return cls("outer", of.workload, "", of.revision, of.number)

    @classmethod
    def front_end(cls) -> Self:
        """The front end's address on the internet, which all testbeds have one of."""
        return cls("front-end", "internet")

    @classmethod
    def front_end_in(cls, region: str) -> Self:
        """The front end's address in a region's share of the serverless range; the region owns it."""
        return cls("front-end-in", region)

    @classmethod
    def load_generator(cls) -> Self:
        """The load generator's address on the internet, which is kept for it whether it is there or not."""
        return cls("load", "internet")

    @classmethod
    def internet_host(cls, name: str) -> Self:
        """The address of a host on the internet; the host owns it."""
        return cls("internet-host", name)

    @classmethod
    def site_gateway(cls, site: str) -> Self:
        """The external address of an on-prem site's VPN gateway; the site owns it."""
        return cls("site-gateway", site)

    @classmethod
    def nat(cls, router: str, nat: str, number: int) -> Self:
        """One of the external addresses of a Cloud NAT gateway that has no reserved ones; the gateway owns it.

        They are numbered.
        """
        return cls("nats", router, nat, "", number)

    @classmethod
    def vpn_interface(cls, gateway: str, number: int) -> Self:
        """The external address of an interface of an HA VPN gateway; the gateway owns it."""
        return cls("interfaces", gateway, "", "", number)

    @classmethod
    def name_server(cls, place: str) -> Self:
        """The name server's address for a network, by its full name, or for those of a region without one.

        The network or region owns it.
        """
        return cls("dns", place)

    @classmethod
    def inside(cls, link: str) -> Self:
        """The address that the node of a tunnel or a VLAN attachment has in its network; the resource owns it."""
        return cls("inside", link)

    @classmethod
    def inside_site(cls, site: str, index: int) -> Self:
        """The address that the node of a site's further tunnel or attachment has in the site; the site owns it."""
        return cls("inside-site", site, "", "", index)


@dataclass(frozen=True, slots=True, order=True)
class RangeKey(Key):
    """What a range is given out for."""

    @classmethod
    def outer_share(cls, region: str) -> Self:
        """A region's share of the outer addresses of the serverless range; the region owns it."""
        return cls("serverless", region)

    @classmethod
    def egress_pool(cls, region: str) -> Self:
        """The addresses by which a region's runtimes reach the internet directly; the region owns it."""
        return cls("pool", region)

    @classmethod
    def redis(cls, instance: str) -> Self:
        """The /29 of a Redis instance in its producer's network; the instance owns it."""
        return cls("range", instance)


@dataclass(frozen=True, slots=True, order=True)
class NameKey(Key):
    """What a node or a segment is, that is given a name."""

    @classmethod
    def node(cls, resource: str) -> Self:
        """The one node of a VM or Redis instance, a classic VPN gateway, a tunnel, or an attachment, which owns it."""
        return cls("", resource)

    @classmethod
    def runtime(cls, of: ContainerInstance) -> Self:
        """The node of a container instance, which owns it."""
        return cls("runtime", of.workload, "", of.revision, of.number)

    @classmethod
    def name_server(cls) -> Self:
        """The name server's node, which all testbeds with names have one of."""
        return cls("dns", "google")

    @classmethod
    def internet_host(cls, name: str) -> Self:
        """The node of a host on the internet, which owns it."""
        return cls("internet-host", name)

    @classmethod
    def site_host(cls, site: str, host: str) -> Self:
        """The node of a host of an on-prem site; the site owns it."""
        return cls("site-host", site, host)

    @classmethod
    def site_end(cls, site: str, index: int) -> Self:
        """The node of a site's gateway or router, or of its further tunnels or attachments; the site owns it."""
        return cls("site-end", site, "", "", index)

    @classmethod
    def network(cls, network: str) -> Self:
        """The segment of a VPC network, a producer's behind a private connection among them; the network owns it."""
        return cls("network", network)

    @classmethod
    def google(cls, network: str) -> Self:
        """The segment from which Google reaches into a network, which owns it."""
        return cls("google", network)

    @classmethod
    def edge(cls, network: str) -> Self:
        """The segment behind a network's default internet gateway; the network owns it."""
        return cls("edge", network)

    @classmethod
    def nat(cls, router: str, nat: str) -> Self:
        """The segment of a Cloud NAT gateway; its router owns it."""
        return cls("nats", router, nat)

    @classmethod
    def producer(cls, redis: str) -> Self:
        """The segment of the producer network that a Redis instance has for itself, which owns it."""
        return cls("producer", redis)

    @classmethod
    def region(cls, region: str) -> Self:
        """The segment of a region's serverless infrastructure; the region owns it."""
        return cls("serverless", region)

    @classmethod
    def site(cls, site: str) -> Self:
        """The segment of an on-prem site, which owns it."""
        return cls("site", site)

    def is_of(self, resource: str) -> bool:
        """Whether it is what a resource is made of, or one below it, by its full name: no segment beside a network."""
        own = self.use in ("", "runtime", "network", "nats")
        return own and (self.owner == resource or self.owner.startswith(f"{resource}/"))
