"""The networks of producers, in which Redis instances are (behaviour 4.9).

One with direct peering has a network of its own; those of a private connection are in the connection's.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.fabric import node_specs
from testbed.fabric.allocation.addressing import redis_host
from testbed.fabric.allocation.keys import NameKey, RangeKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.firewall.chains import Nic
from testbed.fabric.plan import Node
from testbed.fabric.vpc import Vpc
from testbed.fabric.wiring import Wiring
from testbed.model import managed_rules
from testbed.model.topology import Topology


def ranges(topology: Topology, running: Running, network: str) -> list[str]:
    """The ranges of the instances behind a private connection, by its producer's network; none of any other network."""
    given = running.allocations.ranges
    found = ((redis, topology.connection(redis)) for redis in topology.redis.instances)
    keys = (RangeKey.redis(one.full_name) for one, connection in found if connection and connection.producer == network)
    return [given[key] for key in keys if key in given]


def place(topology: Topology, running: Running, wiring: Wiring, vpcs: dict[str, Vpc]) -> Iterator[Node]:
    """Attach all Redis instances; the networks of private connections are there, their peerings come later."""
    for redis in topology.redis.instances:
        name, cidr = redis.full_name, running.range(RangeKey.redis(redis.full_name))
        if (connection := topology.connection(redis)) is not None:
            vpc = vpcs[connection.producer]
        else:
            consumer = vpcs[redis.authorized_network]
            vpc = vpcs[name] = Vpc.begin(wiring, running.name(NameKey.producer(name)), consumer.mtu, [cidr])
            consumer.peer(vpc, topology.ranges_of(redis.authorized_network), [cidr])
        node, rule = running.name(NameKey.node(name)), managed_rules.for_redis(redis.port)
        vpc.attach(wiring.node(node), "eth0", Nic(redis_host(cidr), frozenset(rule.target_tags)), cidr)
        if rule not in vpc.rules:
            vpc.rules.append(rule)
        yield node_specs.redis(redis, node, running.auth_strings.get(name), running.certificates.get(name))
