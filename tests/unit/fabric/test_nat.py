"""Cloud NAT: who is served, and which ports everybody has (behaviour 4.13)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.cloud_nat import Block, Gateway, gateways
from testbed.fabric.inventory import of_network
from testbed.fabric.routing.internet_gateway import timeouts
from testbed.model.compute.router import RouterNat
from testbed.model.topology import Topology
from tests.unit.topologies import (
    compute,
    connector,
    plan,
    running,
    service,
    small,
    space,
    subnet,
    table_rules,
    topology,
    vm,
)

NICS = [f"10.128.{n // 250}.{n % 250 + 2}" for n in range(2500)]


def routers(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "r", "network": "vpc", "nats": [{"name": "nat", **more}]}]


def manual(number: int, **more: Any) -> Topology:
    addresses = [{"name": f"ip{n}", "address": f"198.51.100.{n + 10}"} for n in range(number)]
    given = {"natIpAllocateOption": "MANUAL_ONLY", "natIps": [one["name"] for one in addresses]}
    return topology(compute=compute(addresses=addresses, routers=routers(**given, **more)))


def gateway(of: Topology) -> Gateway:
    (found,) = gateways(of, of.compute.routers[0], allocate(of, Allocations()).addresses)
    return found


def served(of: Topology) -> set[str]:
    """The NICs that have a rule."""
    made = plan(of)
    rules = (r for t in space(made, "nat-nat").tables for c in t.chains for r in c.rules if "-j SNAT" in r)
    return {rule.split()[1].removesuffix("/32") for rule in rules}


@pytest.mark.behaviour("3.3.3", "4.13.1", "4.13.5")
def test_it_serves_instances_and_connectors() -> None:
    assert served(small(compute=compute(instances=[vm("a")], routers=routers()))) == {
        "10.128.0.2",
        "10.8.0.2",
        "10.8.0.3",
    }


@pytest.mark.behaviour("4.13.5")
def test_the_apis_know_of_every_nic_that_is_served() -> None:
    """So that the blocks of ports which they show are those of the packets."""
    machines = [vm("a"), vm("off", status="TERMINATED"), vm("out")]
    machines[2]["networkInterfaces"][0]["accessConfigs"] = [{}]
    nic = {"networkInterfaces": [{"subnetwork": "wide"}]}
    direct = {"name": "direct", "template": {"containers": [{}], "vpcAccess": nic}}
    nets = compute(
        subnetworks=[subnet(), subnet("wide", "10.20.0.0/26")], instances=machines, routers=routers(minPortsPerVm=1024)
    )
    of = small(compute=nets, run={"services": [service("web"), direct]})
    there = of_network(of, running(of), of.compute.networks[0].full_name)
    known = {one.address for one in there if one.behind_nat}
    assert served(of) == known
    assert len(known) == 1 + 2 + 1


@pytest.mark.behaviour("1.6.5", "3.3.3")
def test_a_list_of_subnets_cannot_have_a_hidden_one() -> None:
    listed = routers(sourceSubnetworkIpRangesToNat="LIST_OF_SUBNETWORKS", subnetworks=[{"name": "us"}])
    assert served(small(compute=compute(instances=[vm("a")], routers=listed))) == {"10.128.0.2"}


@pytest.mark.behaviour("3.3.3")
def test_a_connector_in_a_subnet_of_its_own_can_be_listed() -> None:
    listed = routers(sourceSubnetworkIpRangesToNat="LIST_OF_SUBNETWORKS", subnetworks=[{"name": "own"}])
    nets = compute(subnetworks=[subnet(), subnet("own", "10.8.0.0/28")], routers=listed)
    one = {"name": "c1", "subnet": {"name": "own"}}
    assert served(small(compute=nets, vpcaccess={"connectors": [one]})) == {"10.8.0.2", "10.8.0.3"}


@pytest.mark.behaviour("4.13.1")
def test_it_is_regional() -> None:
    assert not served(small(compute=compute(instances=[vm("a")], routers=[{**routers()[0], "region": "europe-west1"}])))


@pytest.mark.behaviour("4.13.2")
@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({}, 64, 64),
        ({"minPortsPerVm": 50}, 64, 64),
        ({"minPortsPerVm": 65}, 128, 128),
        ({"enableDynamicPortAllocation": True}, 32, 65536),
        ({"enableDynamicPortAllocation": True, "minPortsPerVm": 128, "maxPortsPerVm": 256}, 128, 256),
    ],
)
def test_ports_per_vm(fields: dict[str, Any], least: int, most: int) -> None:
    nat = RouterNat.model_validate({"name": "nat", **fields})
    assert (nat.least_ports, nat.most_ports) == (least, most)


@pytest.mark.behaviour("4.13.2")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"minPortsPerVm": 100}, "power of two"),
        ({"minPortsPerVm": 16}, "from 32"),
        ({"minPortsPerVm": 64, "maxPortsPerVm": 64}, "at least twice"),
        ({"enableEndpointIndependentMapping": True}, "exclude each other"),
    ],
)
def test_dynamic_allocation_has_conditions(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RouterNat.model_validate({"name": "nat", "enableDynamicPortAllocation": True, **fields})


@pytest.mark.behaviour("4.13.3")
def test_an_address_serves_1008_vms_and_no_more() -> None:
    blocks = gateway(manual(1)).blocks(NICS)
    assert len(blocks) == 1008
    assert set(blocks) == set(NICS[:1008])
    ranges = sorted((block.first, block.last) for block in blocks.values())
    assert (ranges[0][0], ranges[-1][1]) == (1024, 65535)
    assert all(left[1] + 1 == right[0] for left, right in pairwise(ranges))


@pytest.mark.behaviour("4.13.3")
def test_several_addresses_serve_more() -> None:
    found = gateway(manual(2))
    assert len(found.blocks(NICS)) == 2016
    assert {block.external for block in found.blocks(NICS[:2]).values()} == set(found.externals)
    assert found.addresses_missing(NICS) == 1


def test_a_block_stays_when_others_come() -> None:
    found = gateway(manual(1))
    alone = found.blocks([NICS[5]])
    assert found.blocks(NICS[:300])[NICS[5]] == alone[NICS[5]]


@pytest.mark.behaviour("4.13.2")
def test_with_dynamic_allocation_all_share_what_there_is() -> None:
    found = gateway(manual(1, enableDynamicPortAllocation=True, minPortsPerVm=32, maxPortsPerVm=1024))
    assert [found.blocks(NICS[:n])[NICS[0]].size for n in (1, 63, 64, 2016)] == [1024, 1024, 512, 32]
    assert len(found.blocks(NICS)) == 2016


@pytest.mark.behaviour("4.13.3")
def test_the_largest_block_is_a_whole_address() -> None:
    found = gateway(manual(1, enableDynamicPortAllocation=True))
    assert found.blocks(NICS[:1]) == {NICS[0]: Block("198.51.100.10", 1024, 65535)}


@pytest.mark.behaviour("4.13.1")
def test_as_many_addresses_are_given_as_it_takes() -> None:
    machines = [vm(name) for name in "abc"]
    of = small(compute=compute(instances=machines, routers=routers(minPortsPerVm=32768)))
    assert len(set(gateway(of).externals)) == 3 + 12  # of the connector as many as its range has
    few = small(compute=compute(instances=machines, routers=routers()), vpcaccess={"connectors": [connector()]})
    assert len(gateway(few).externals) == 1
    assert gateway(few).externals[0] == gateway(of).externals[0]


@pytest.mark.behaviour("4.13.4")
def test_timeouts_are_the_gateways_own() -> None:
    of = topology(compute=compute(routers=routers(udpIdleTimeoutSec=45)))
    values = space(plan(of), "nat-nat").sysctls
    prefix = "net.netfilter.nf_conntrack_"
    assert {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)} == {
        "udp_timeout": "45",
        "udp_timeout_stream": "45",
        "icmp_timeout": "30",
        "tcp_timeout_established": "1200",
        "tcp_timeout_time_wait": "120",
        "tcp_timeout_syn_sent": "30",
        "tcp_timeout_syn_recv": "30",
        "tcp_timeout_fin_wait": "30",
        "tcp_timeout_close_wait": "30",
        "tcp_timeout_last_ack": "30",
        "tcp_timeout_close": "30",
    }
    assert set(timeouts(RouterNat.model_validate({"name": "nat"}))) <= set(values)


def test_no_packet_meets_many_rules() -> None:
    machines = [vm(f"vm{n}", address=address) for n, address in enumerate(NICS[:1000])]
    made = space(plan(topology(compute=compute(instances=machines, routers=routers()))), "nat-nat")
    (table,) = (table for table in made.tables if table.name == "nat")
    assert max(len(chain.rules) for chain in table.chains) <= 16
    assert sum(rule.endswith("-j tcp") for rule in table_rules(made, "nat", "POSTROUTING")) == 1
    assert len(served_by(made)) == 1000


def served_by(made: Any) -> set[str]:
    return {r.split()[1] for t in made.tables for c in t.chains for r in c.rules if "-p tcp" in r and "-j SNAT" in r}
