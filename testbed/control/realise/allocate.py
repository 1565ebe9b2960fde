"""Gives out what a topology leaves open, before anything of it is made: addresses, AUTH strings, certificates."""

from __future__ import annotations

from testbed.control.state.store import Store
from testbed.fabric.allocation.addressing import allocate, redis_host
from testbed.fabric.allocation.keys import RangeKey
from testbed.model.topology import Topology


def allot(store: Store, topology: Topology) -> None:
    """Write down what each resource has; what was given out before stays as it is.

    Raises:
        TestbedError: as `allocate`.
    """
    instances = topology.redis.instances
    store.auth_strings.ensure(redis.full_name for redis in instances if redis.auth_enabled)
    allocations = allocate(topology, store.running.allocations)
    store.allocations.replace(allocations)
    encrypted = (redis.full_name for redis in instances if redis.encrypted)
    store.certificates.ensure({name: redis_host(allocations.ranges[RangeKey.redis(name)]) for name in encrypted})
