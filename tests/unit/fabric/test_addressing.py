"""Addresses: stable, unique, and taken from where they belong."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import FailedPrecondition, ResourceExhausted
from testbed.fabric.allocation.addressing import (
    DIRECT_EGRESS_POOL,
    EXTERNAL_POOL,
    INNER,
    INTERNET,
    OUTER,
    allocate,
    inner_address,
    inner_share,
    next_instance,
    redis_host,
)
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, RangeKey, container_instances
from testbed.fabric.allocation.running import ConnectorInstance
from testbed.model.core.ranges import SERVERLESS
from testbed.model.topology import Topology
from tests.unit.topologies import compute, connector, example, network, service, small, subnet, topology, vm
from tests.unit.topologies import outer as tunnel_end

NAMES = st.sets(st.sampled_from([f"n{i}" for i in range(8)]), max_size=6)
COUNTS = st.dictionaries(st.sampled_from([f"s{i}" for i in range(6)]), st.integers(1, 4), max_size=5)


def made_of(vms: set[str], services: dict[str, int], networks: int = 2) -> Topology:
    """VMs with and without external addresses in two networks with equal ranges, services, Redis instances."""
    names = [f"net{i}" for i in range(networks)]
    instances = []
    for name in sorted(vms):
        one = vm(name, f"sub{int(name[1:]) % networks}")
        if name > "n3":
            one["networkInterfaces"][0]["accessConfigs"] = [{}]
        instances.append(one)
    return topology(
        compute={
            "networks": [network(name) for name in names],
            "subnetworks": [{**subnet(f"sub{i}", "10.0.0.0/27"), "network": name} for i, name in enumerate(names)],
            "instances": instances,
        },
        run={"services": [service(name, None, instances=count) for name, count in services.items()]},
        redis={"instances": [{"name": f"r{n}", "authorizedNetwork": "net0"} for n in sorted(vms)]},
    )


@given(NAMES, COUNTS, NAMES, COUNTS)
def test_adding_never_renumbers(vms: set[str], services: dict[str, int], more: set[str], grown: dict[str, int]) -> None:
    before = allocate(made_of(vms, services), Allocations())
    larger = {name: max(services.get(name, 1), grown.get(name, 1)) for name in {*services, *grown}}
    after = allocate(made_of(vms | more, larger), before)
    assert {key: after.addresses[key] for key in before.addresses} == before.addresses
    assert {key: after.ranges[key] for key in before.ranges} == before.ranges
    assert {key: after.names[key] for key in before.names} == before.names


@given(NAMES, COUNTS, NAMES, COUNTS)
def test_addresses_are_unique(
    vms: set[str], services: dict[str, int], others: set[str], changed: dict[str, int]
) -> None:
    """After a change of any kind: what is asked for now has one address each."""
    of = made_of(others, changed)
    found = allocate(of, allocate(made_of(vms, services), Allocations()))
    internal = [found.addresses[AddressKey.instance(i.full_name)] for i in of.compute.instances]
    networks = [of.subnetworks[i.nic.subnetwork].network for i in of.compute.instances]
    per_network = [*zip(networks, internal, strict=True)]
    assert len(set(per_network)) == len(internal)
    assert all(address in IPv4Network("10.0.0.0/27") for address in map(IPv4Address, internal))
    keys = [AddressKey.external(i.full_name) for i in of.compute.instances if i.nic.access_configs]
    external = [found.addresses[key] for key in (*keys, AddressKey.front_end())]
    assert len(set(external)) == len(external)
    runtimes = [found.addresses[AddressKey.outer(one)] for w in of.workloads for one in container_instances(w)]
    assert len(set(runtimes)) == len(runtimes) == sum(changed.values())
    redis = [IPv4Network(found.ranges[RangeKey.redis(one.full_name)]) for one in of.redis.instances]
    assert len(redis) == len(others)
    assert not any(a.overlaps(b) for a in redis for b in redis if a is not b)


def test_the_same_input_gives_the_same_addresses() -> None:
    assert allocate(example(), Allocations()) == allocate(example(), Allocations())


def test_what_is_given_is_kept() -> None:
    found = allocate(example(), Allocations())
    assert (
        found.addresses[AddressKey.instance("projects/demo-project/zones/us-central1-a/instances/vm-us")]
        == "10.128.0.2"
    )
    reserved = AddressKey.reserved("projects/demo-project/regions/us-central1/addresses/vpn-address")
    assert found.addresses[reserved] == "198.51.100.2"
    cache = RangeKey.redis("projects/demo-project/locations/us-central1/instances/cache")
    assert found.ranges[cache] == "10.9.0.0/29"
    assert found.addresses[AddressKey.front_end()] != "198.51.100.2"


@pytest.mark.behaviour("4.4.5")
def test_the_first_two_and_the_last_two_are_not_given_out() -> None:
    tight = compute(subnetworks=[subnet(cidr="10.0.0.0/29")], instances=[vm(name) for name in "abcd"])
    found = allocate(small(compute=tight), Allocations())
    addresses = [
        found.addresses[AddressKey.instance(f"projects/p/zones/us-central1-a/instances/{name}")] for name in "abcd"
    ]
    assert addresses == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]


def test_a_full_subnet_says_so() -> None:
    tight = compute(subnetworks=[subnet(cidr="10.0.0.0/29")], instances=[vm(name) for name in "abcde"])
    with pytest.raises(ResourceExhausted, match=r"no address is left in 10\.0\.0\.0/29 for .*/instances/e"):
        allocate(small(compute=tight), Allocations())


def test_an_address_that_is_in_use_is_not_given_away() -> None:
    before = allocate(small(compute=compute(instances=[vm("a")])), Allocations())
    late = small(compute=compute(instances=[vm("a"), vm("b", address="10.128.0.2")]))
    with pytest.raises(FailedPrecondition, match=r"IP '10\.128\.0\.2' is already being used by another resource: .*/a"):
        allocate(late, before)


def test_an_instance_that_moves_to_another_subnet_gets_an_address_there() -> None:
    subnets = [subnet(), subnet("other", "10.132.0.0/20")]
    before = allocate(small(compute=compute(subnetworks=subnets, instances=[vm("a")])), Allocations())
    after = allocate(small(compute=compute(subnetworks=subnets, instances=[vm("a", "other")])), before)
    assert after.addresses[AddressKey.instance("projects/p/zones/us-central1-a/instances/a")] == "10.132.0.2"


@pytest.mark.behaviour("4.9.2")
def test_a_redis_range_avoids_what_is_in_use() -> None:
    used = small(
        compute=compute(subnetworks=[subnet(cidr="10.255.0.0/24")]),
        redis={"instances": [{"name": "r", "authorizedNetwork": "vpc"}]},
    )
    found = allocate(used, Allocations()).ranges[RangeKey.redis("projects/p/locations/us-central1/instances/r")]
    assert not IPv4Network(found).overlaps(IPv4Network("10.255.0.0/24"))
    assert IPv4Network(found).prefixlen == 29
    assert IPv4Address(redis_host(found)) in IPv4Network(found)


@pytest.mark.behaviour("2.1.4")
def test_serverless_addresses_are_in_the_documented_range() -> None:
    of = small(run={"services": [service("web", instances=3)]})
    found = allocate(of, Allocations())
    outer = [tunnel_end(of, found, "web", number) for number in range(3)]
    assert all(IPv4Address(address) in OUTER for address in outer)
    inner = [inner_address(address) for address in outer]
    assert all(IPv4Address(address) in INNER for address in inner)
    assert len(set(inner)) == 3
    assert IPv4Address(inner[0]) in IPv4Network(inner_share(found.ranges[RangeKey.outer_share("us-central1")]))
    assert all(half.subnet_of(SERVERLESS) for half in (OUTER, INNER))


def test_the_testbeds_own_machines_on_the_internet_are_in_different_ranges() -> None:
    found = allocate(small(), Allocations())
    assert IPv4Address(found.addresses[AddressKey.front_end()]) in EXTERNAL_POOL
    assert IPv4Address(found.addresses[AddressKey.load_generator()]) in INTERNET


@pytest.mark.behaviour("3.2.4")
def test_direct_egress_has_a_pool_of_its_own() -> None:
    pool = IPv4Network(allocate(small(), Allocations()).ranges[RangeKey.egress_pool("us-central1")])
    assert pool.subnet_of(DIRECT_EGRESS_POOL)
    assert not pool.overlaps(EXTERNAL_POOL)


@pytest.mark.behaviour("1.6.10")
def test_twelve_instances_fit_in_a_connectors_range() -> None:
    (one,) = small(vpcaccess={"connectors": [connector()]}).vpcaccess.connectors
    present: list[ConnectorInstance] = []
    for serial in range(1, 13):
        present.append(next_instance(one, "10.8.0.0/28", present, serial))
    assert {i.address for i in present} == {f"10.8.0.{n}" for n in range(2, 14)}
    with pytest.raises(ResourceExhausted, match="connector c1: no address is left"):
        next_instance(one, "10.8.0.0/28", present, 13)


def test_connectors_with_equal_ranges_do_not_share_addresses() -> None:
    (one,) = small().vpcaccess.connectors
    other = ConnectorInstance("other-0001", "projects/p/locations/us-central1/connectors/other", "10.8.0.2")
    assert next_instance(one, "10.8.0.0/28", [other], 1).address == "10.8.0.2"


def test_what_nobody_has_asked_for_makes_room() -> None:
    """An empty testbed's front end has the first address of the pool, which the example gives its VPN gateway."""
    empty = small(compute={"networks": [{"name": "vpc"}]}, vpcaccess={}, run={})
    before = allocate(empty, Allocations())
    full = example()
    (vpn,) = (one for one in full.compute.addresses if one.name == "vpn-address")
    assert before.addresses[AddressKey.front_end()] == vpn.address
    after = allocate(full, before)
    assert after.addresses[AddressKey.reserved(vpn.full_name)] == vpn.address
    assert after.addresses[AddressKey.front_end()] not in (vpn.address, None)


def test_a_host_of_the_internet_has_the_address_that_it_is_given() -> None:
    nic = {"subnetwork": "us", "accessConfigs": [{}]}
    of = compute(instances=[{"name": "a", "zone": "us-central1-a", "networkInterfaces": [nic]}])
    before = allocate(small(compute=of), Allocations())
    key = AddressKey.external("projects/p/zones/us-central1-a/instances/a")
    host = {"hosts": [{"name": "host", "address": before.addresses[key]}]}
    after = allocate(small(compute=of, internet=host), before)
    assert after.addresses[AddressKey.internet_host("host")] == before.addresses[key]
    assert after.addresses[key] != before.addresses[key]
