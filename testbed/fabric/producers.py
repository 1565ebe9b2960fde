"""The networks of producers, in which Redis instances are (behaviour 4.9).

One with direct peering has a network of its own; those of a private connection are in the connection's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testbed.fabric import node_specs
from testbed.fabric.allocation.keys import NameKey, RangeKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.firewall.chains import Nic
from testbed.fabric.inventory import Participant
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


def place(
    topology: Topology, running: Running, wiring: Wiring, vpcs: dict[str, Vpc], servers: Iterable[Participant]
) -> Iterator[Node]:
    """Attach all Redis instances; the networks of private connections are there, their peerings come later."""
    instances = {redis.full_name: redis for redis in topology.redis.instances}
    for one in servers:
        redis = instances[one.owner]
        if one.network == one.owner:
            consumer = vpcs[redis.authorized_network]
            segment = running.name(NameKey.producer(one.owner))
            vpc = vpcs[one.owner] = Vpc.begin(wiring, segment, consumer.mtu, [one.range])
            consumer.peer(vpc, topology.ranges_of(redis.authorized_network), [one.range])
        vpc, rule = vpcs[one.network], managed_rules.for_redis(redis.port)
        vpc.attach(wiring.node(one.node), "eth0", Nic.of(one), one.range)
        if rule not in vpc.rules:
            vpc.rules.append(rule)
        secrets = running.auth_strings.get(one.owner), running.certificates.get(one.owner)
        yield node_specs.redis(redis, one.node, *secrets)
