"""The plan of a whole topology: it is deterministic, refers to nothing that is not there, and says what it should."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from testbed.fabric import node_specs
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, RangeKey
from testbed.fabric.compiler import compile_topology
from testbed.fabric.naming import IFNAMSIZ, interface_name
from testbed.fabric.node_specs import GUEST_PRIVILEGES
from testbed.fabric.plan import MAIN_TABLE, Chain, Plan, RouteKind
from testbed.fabric.serverless import instance_choice
from testbed.model.compute.instance import Instance
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.unit.topologies import (
    compute,
    connector,
    example,
    instances,
    members,
    network,
    outer,
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

VPC = "projects/p/global/networks/vpc"


def twins() -> Topology:
    """Two networks with the same ranges, each with a connector of the same range; services of one region use both."""
    names = ("one", "two")
    return topology(
        compute={
            "networks": [network(name) for name in names],
            "subnetworks": [{**subnet(f"sub-{name}"), "network": name} for name in names],
            "instances": [vm(f"vm-{name}", f"sub-{name}", address="10.128.0.2") for name in names],
            "firewalls": [{"name": f"web-{n}", "network": n, "allow": ["tcp:80"], "targetTags": ["x"]} for n in names],
        },
        vpcaccess={"connectors": [connector(f"c-{name}", network=name) for name in names]},
        run={"services": [service(f"web-{name}", f"c-{name}", instances=3) for name in names]},
    )


def long_names() -> Topology:
    """Names that are longer than those of devices can be, and equal in their first characters."""
    names = [f"a-service-with-a-rather-long-name-{i}" for i in range(20)]
    return small(
        compute=compute(instances=[vm(f"a-machine-with-a-rather-long-name-{i}") for i in range(20)]),
        run={"services": [service(name) for name in names]},
    )


def other_ways() -> Topology:
    """Flexible instances, external addresses, manual NAT, Redis without a range, routes with every kind of next hop."""
    machines = [vm("a", tags={"items": ["web"]}), vm("router")]
    machines[0]["networkInterfaces"][0]["accessConfigs"] = [{}]
    to: dict[str, dict[str, str]] = {
        "gateway": {"nextHopGateway": "default-internet-gateway"},
        "instance": {"nextHopInstance": "router"},
        "ip": {"nextHopIp": "10.128.0.2"},
        "nowhere": {"nextHopIp": "10.128.9.9"},
    }
    version = {
        "name": "apps/p/services/flexible/versions/v1",
        "env": "flex",
        "deployment": {"zip": {"sourceUrl": "app"}},
        "network": {"name": "default", "subnetworkName": "us"},
    }
    return topology(
        compute={
            "networks": [network("default")],
            "subnetworks": [{**subnet(), "network": "default"}],
            "instances": machines,
            "addresses": [{"name": "nat"}],
            "routers": [
                {
                    "name": "r",
                    "network": "default",
                    "nats": [
                        {"name": "nat", "natIpAllocateOption": "MANUAL_ONLY", "natIps": ["nat"]},
                    ],
                }
            ],
            "routes": [
                {"name": name, "network": "default", "destRange": f"100.64.{i}.0/24", "priority": 100, **hop}
                for i, (name, hop) in enumerate(to.items())
            ],
        },
        vpcaccess={"connectors": [connector(network="default")]},
        run={"services": [service("web"), service("everything", egress="ALL_TRAFFIC"), service("alone", None)]},
        appengine={"application": {"id": "p", "locationId": "us-central"}, "versions": [version]},
        redis={"instances": [{"name": "cache", "authorizedNetwork": "default"}]},
    )


WHOLE: dict[str, Callable[[], Topology]] = {
    "example": example,
    "small": small,
    "twins": twins,
    "long names": long_names,
    "other ways": other_ways,
    "nothing": topology,
}


@pytest.fixture(params=[(name, health) for name in WHOLE for health in ("healthy", "starting")], ids="-".join)
def whole(request: pytest.FixtureRequest) -> Plan:
    name, health = request.param
    return plan(WHOLE[name](), health, load_generator=True)


# -- every plan -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
def test_the_same_input_gives_the_same_plan(name: str) -> None:
    assert plan(WHOLE[name]()) == plan(WHOLE[name]())


def canonical(value: Any) -> Any:
    """A value without anything that depends on the order of a set."""
    if is_dataclass(value):
        return [(f.name, canonical(getattr(value, f.name))) for f in fields(value)]
    if isinstance(value, frozenset):
        return sorted(map(repr, map(canonical, value)))
    if isinstance(value, Mapping):
        return [(key, canonical(value[key])) for key in sorted(value)]
    return [canonical(item) for item in value] if isinstance(value, tuple | list) else value


def fingerprint() -> str:
    return hashlib.sha256(repr([canonical(plan(WHOLE[name]())) for name in WHOLE]).encode()).hexdigest()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_order_of_sets_does_not_matter(seed: str) -> None:
    program = "from tests.unit.fabric.test_compiler import fingerprint; print(fingerprint())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == fingerprint()


def devices(of: Plan, name: str) -> Iterator[str]:
    """The devices of a namespace, apart from the loopback device."""
    for veth in of.veths:
        yield from (end.interface.name for end in (veth.a, veth.b) if end.namespace == name)
    yield from (tunnel.interface.name for tunnel in space(of, name).tunnels)


def test_namespaces_and_nodes_have_different_names(whole: Plan) -> None:
    assert Counter(s.name for s in whole.namespaces).most_common(1)[0][1] == 1
    assert len({node.name for node in whole.nodes}) == len(whole.nodes)
    assert {node.name for node in whole.nodes} == {s.name for s in whole.namespaces if s.node}


def test_a_namespaces_devices_have_different_names(whole: Plan) -> None:
    for one in whole.namespaces:
        names = list(devices(whole, one.name))
        assert len(set(names)) == len(names), one.name
        assert all(0 < len(name) <= IFNAMSIZ for name in names)
        assert not {"lo", "all", "default"} & set(names)


def test_both_ends_of_a_veth_pair_are_in_the_plan(whole: Plan) -> None:
    names = {one.name for one in whole.namespaces}
    for veth in whole.veths:
        assert {veth.a.namespace, veth.b.namespace} <= names
        assert veth.a.interface.mtu == veth.b.interface.mtu


def test_routes_and_neighbours_use_devices_that_are_there(whole: Plan) -> None:
    for one in whole.namespaces:
        there = set(devices(whole, one.name))
        known = {(n.address, n.device) for n in one.neighbours}
        assert {n.device for n in one.neighbours} <= there
        for route in one.routes:
            if route.kind != "unicast":
                assert (route.device, route.gateway, route.nexthop) == (None, None, None)
            elif route.nexthop is None:
                assert route.device in there, (one.name, route)
                target = route.gateway or route.destination.removesuffix("/32")
                assert (target, route.device) in known, (one.name, route)


def test_every_neighbour_is_at_the_other_end(whole: Plan) -> None:
    """The MAC address is that of the device at the other end of the pair."""
    across = {}
    for veth in whole.veths:
        across[veth.a.namespace, veth.a.interface.name] = veth.b.interface.mac
        across[veth.b.namespace, veth.b.interface.name] = veth.a.interface.mac
    for one in whole.namespaces:
        for neighbour in one.neighbours:
            assert across[one.name, neighbour.device] == neighbour.mac


def test_nexthops_and_tables_are_there(whole: Plan) -> None:
    for one in whole.namespaces:
        hops = {hop.id for hop in one.nexthops}
        assert len(hops) == len(one.nexthops)
        assert {route.nexthop for route in one.routes if route.nexthop} <= hops
        assert {hop.device for hop in one.nexthops} <= {tunnel.interface.name for tunnel in one.tunnels}
        assert {rule.table for rule in one.rules} <= {route.table for route in one.routes}
        assert all(0 < number < 2**32 for number in hops)


def test_no_two_routes_have_the_same_place(whole: Plan) -> None:
    """The kernel keeps one route per destination, metric and table."""
    for one in whole.namespaces:
        places = Counter((route.destination, route.metric, route.table) for route in one.routes)
        assert [place for place, count in places.items() if count > 1] == [], one.name


def test_every_set_that_a_rule_uses_is_declared_and_every_declared_one_used(whole: Plan) -> None:
    for one in whole.namespaces:
        words = [w for t in one.tables for c in t.chains for rule in c.rules for w in rule.split()]
        used = {words[i + 1] for i, word in enumerate(words) if word == "--match-set"}
        assert used == {declared.name for declared in one.sets}, one.name
        assert all(len(declared.name) < 32 for declared in one.sets)
        assert all("/0" not in member for declared in one.sets for member in declared.members)


def test_every_chain_that_a_rule_jumps_to_is_there(whole: Plan) -> None:
    targets = {
        "ACCEPT",
        "DROP",
        "RETURN",
        "SNAT",
        "DNAT",
        "MASQUERADE",
        "TCPMSS",
        "CONNMARK",
        "HMARK",
        "MARK",
        "CLASSIFY",
    }
    for one in whole.namespaces:
        for table in one.tables:
            own = {chain.name for chain in table.chains}
            words = [w for c in table.chains for rule in c.rules for w in rule.split()]
            assert {words[i + 1] for i, word in enumerate(words) if word in ("-j", "-g")} <= targets | own


def test_no_node_has_more_privileges_than_it_needs(whole: Plan) -> None:
    privileged = {node.kind for node in whole.nodes if node.capabilities or node.devices}
    assert privileged <= {"vpn-gateway", "on-prem-gateway", "vm"}
    assert {node.kind for node in whole.nodes if node.root} <= {"vm"}
    assert {node.capabilities for node in whole.nodes if node.root} <= {GUEST_PRIVILEGES}


def test_every_node_is_limited(whole: Plan) -> None:
    assert all(node.memory and node.disk and node.cores for node in whole.nodes)


@pytest.mark.parametrize(("machine", "memory", "cores"), [("e2-micro", 1 << 30, 0.25), ("n1-standard-2", 15 << 29, 2)])
def test_a_vm_has_the_memory_and_the_cores_of_its_machine_type(machine: str, memory: int, cores: float) -> None:
    instance = Instance.model_validate(
        {
            "name": "vm",
            "zone": "us-central1-a",
            "machineType": f"zones/us-central1-a/machineTypes/{machine}",
            "networkInterfaces": [{"subnetwork": "s"}],
        },
        context=Defaults(project="p", region="us-central1", zone="us-central1-a"),
    )
    node = node_specs.vm(instance, "vm")
    assert (node.memory, node.cores) == (memory, cores)


def test_a_namespace_that_forwards_does_not_ask_whence(whole: Plan) -> None:
    for one in whole.namespaces:
        assert one.sysctls["net.ipv4.conf.all.rp_filter"] == "0"
        assert one.node or one.sysctls["net.ipv4.ip_forward"] == "1"


# -- connectors and egress settings -----------------------------------------------------------------------------------


def tunnelled(of: Plan, node: str = "web") -> dict[str, set[RouteKind]]:
    """What a runtime does not send directly, by destination: the routes of its tables for marked flows and others."""
    region = space(of, "serverless-us-central1")
    inner = _address(of, node)
    tables = {rule.table for rule in region.rules if rule.source == f"{inner}/32"}
    found: dict[str, set[RouteKind]] = {}
    for route in region.routes:
        if route.table in tables and not route.destination.endswith("/32"):
            found.setdefault(route.destination, set()).add(route.kind)
    return found


def choices(of: Plan) -> tuple[Chain, ...]:
    """The chains that choose an instance for each flow, one for each connector that has a healthy one."""
    (mangle,) = (table for table in space(of, "serverless-us-central1").tables if table.name == "mangle")
    return mangle.chains[1:]


def _address(of: Plan, node: str) -> str:
    ends = [end for veth in of.veths for end in (veth.a, veth.b) if end.namespace == node]
    (prefix,) = (prefix for end in ends if end.interface.name == "eth0" for prefix in end.interface.addresses)
    return prefix.removesuffix("/32")


@pytest.mark.behaviour("3.2.2")
def test_private_ranges_go_through_the_connector() -> None:
    assert set(tunnelled(plan(small()))) == {
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "199.36.153.4/30",
        "199.36.153.8/30",
    }


@pytest.mark.behaviour("3.3.1")
def test_all_traffic_goes_through_the_connector() -> None:
    assert set(tunnelled(plan(small(run={"services": [service("web", egress="ALL_TRAFFIC")]})))) == {"0.0.0.0/0"}


def test_without_a_connector_everything_is_direct() -> None:
    made = plan(small(run={"services": [service("web", None)]}))
    assert tunnelled(made) == {}
    assert not choices(made)


@pytest.mark.behaviour("1.10.5a")
@pytest.mark.parametrize("egress", ["ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"])
def test_a_connector_that_is_not_there_is_not_bypassed(egress: str) -> None:
    present = tunnelled(plan(small(run={"services": [service("web", egress=egress)]})))
    lost = plan(small(run={"services": [service("web", "lost", egress=egress)]}))
    assert [*present.values()] == [{"unicast", "unreachable"}] * len(present)
    assert tunnelled(lost) == {to: {"unreachable"} for to in present}
    assert not choices(lost)


def test_every_runtime_has_a_nexthop_and_a_table_for_every_instance() -> None:
    of = small(run={"services": [service("web", instances=3)]}, vpcaccess={"connectors": [connector(minInstances=4)]})
    region = space(plan(of), "serverless-us-central1")
    assert {hop.encap_destination for hop in region.nexthops} == {f"10.8.0.{n}" for n in range(2, 6)}
    assert len(region.nexthops) == 3 * 4
    marked = {rule.table: rule.mark for rule in region.rules if rule.mark}
    for hop in region.nexthops:
        assert {route.nexthop for route in region.routes if route.table == hop.id} == {hop.id}
        assert marked[hop.id] == instance_choice.mark(hop.encap_destination)


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
def test_an_instance_that_is_not_healthy_gets_no_flows(health: Any) -> None:
    of = small()
    one, two = instances(of)
    state = running(of)
    made = compile_topology(of, replace(state, instances=(one, replace(two, health=health))))
    (chosen,) = choices(made)
    marks = [f"{instance_choice.mark(address).value:#x}/" for address in (one.address, two.address)]
    assert [any(mark in rule for rule in chosen.rules) for mark in marks] == [True, False]
    assert two.name in {node.name for node in made.nodes}


def test_only_the_choice_changes_when_an_instance_is_not_healthy_any_more() -> None:
    """What the others carry stays where it is, and there is a way for the instance once it is healthy again."""
    of = small(vpcaccess={"connectors": [connector(minInstances=3)]})
    state = running(of)
    all_of_them = space(compile_topology(of, state), "serverless-us-central1")
    without = replace(state, instances=(replace(state.instances[0], health="unhealthy"), *state.instances[1:]))
    fewer = space(compile_topology(of, without), "serverless-us-central1")
    assert fewer != all_of_them
    assert replace(fewer, tables=all_of_them.tables) == all_of_them


def test_without_a_healthy_instance_nothing_gets_through() -> None:
    made = plan(small(), "unhealthy")
    assert not choices(made)
    assert all("unreachable" in kinds for kinds in tunnelled(made).values())


@pytest.mark.behaviour("2.1.8")
def test_a_connector_instance_answers_every_runtime_of_its_connector_and_no_other() -> None:
    of = small(
        vpcaccess={"connectors": [connector(), connector("c2", "10.8.0.16/28")]},
        run={"services": [service("web", instances=2), service("other", "c2"), service("alone", None)]},
    )
    made = plan(of)
    destinations = {hop.encap_destination for hop in space(made, "c1-0001").nexthops}
    addresses = allocate(of, Allocations())
    assert destinations == {outer(of, addresses, "web", number) for number in range(2)}
    inbound, _ = table_rules(space(made, "serverless-us-central1"), "filter", "INPUT")
    (pairs,) = members(space(made, "serverless-us-central1"), inbound)
    assert {pair.split(",")[2] for pair in pairs if pair.startswith("10.8.0.2,")} == destinations


@pytest.mark.behaviour("2.1.1")
def test_packets_leave_a_connector_from_its_own_address() -> None:
    (rule,) = table_rules(space(plan(small()), "c1-0001"), "nat", "POSTROUTING")
    assert rule == "-s 35.199.240.0/20 -o eth0 -j MASQUERADE"


def test_two_networks_may_use_the_same_ranges() -> None:
    made = plan(twins())
    region = space(made, "serverless-us-central1")
    ways = {(r.device, r.table) for r in region.routes if r.destination == "10.8.0.0/28" and r.table != MAIN_TABLE}
    assert {device for device, _ in ways} == {"vpc-one", "vpc-two"}
    assert len({table for _, table in ways}) == 2
    given = allocate(twins(), Allocations())
    for name in ("one", "two"):
        sources = {f"{outer(twins(), given, f'web-{name}', number)}/32" for number in range(3)}
        (table,) = {rule.table for rule in region.rules if rule.source in sources}
        assert (interface_name(f"vpc-{name}"), table) in ways
    assert [s.name for s in made.namespaces].count("google-one") == 1


@pytest.mark.behaviour("1.12.1")
def test_a_region_reaches_the_connectors_of_that_region_only() -> None:
    there = connector("projects/p/locations/europe-west1/connectors/c2", "10.8.0.16/28")
    made = plan(small(vpcaccess={"connectors": [connector(), there]}))
    for region, own, other in (
        ("us-central1", "10.8.0.0/28", "10.8.0.16/28"),
        ("europe-west1", "10.8.0.16/28", "10.8.0.0/28"),
    ):
        destinations = {route.destination for route in space(made, f"serverless-{region}").routes}
        assert own in destinations
        assert other not in destinations


@pytest.mark.behaviour("2.2.2", "2.2.7")
def test_a_connector_brings_its_six_rules_and_takes_them_away() -> None:
    suffixes = ("hcfw", "rsgfw", "earfw", "egrfw", "sbntfw", "tagfw")

    def comments(of: Topology) -> set[str]:
        vpc = space(plan(of), "vpc-vpc")
        rules = [*table_rules(vpc, "filter", "ingress"), *table_rules(vpc, "filter", "egress")]
        return {rule.split("--comment ")[1].split(" ")[0] for rule in rules}

    expected = {f"aet-uscentral1-c1-{suffix}" for suffix in suffixes}
    assert expected <= comments(small())
    gone = small(vpcaccess={}, run={})
    assert not any(comment.startswith("aet-") for comment in comments(gone))


# -- networks ---------------------------------------------------------------------------------------------------------


def test_only_the_networks_own_addresses_come_in_from_a_nic() -> None:
    """What is behind a device is what routes lead to: the reverse path of a packet."""
    vpc = space(plan(small()), "vpc-vpc")
    assert {route.destination for route in vpc.routes if route.device == "a"} == {"10.128.0.2/32"}
    (rule,) = table_rules(vpc, "raw", "PREROUTING")
    assert rule == "-m rpfilter --invert -j anti-spoofing"
    drop = "-m comment --comment anti-spoofing -j DROP"
    *never, internet, others = table_rules(vpc, "raw", "anti-spoofing")
    assert [rule.split(" -m comment")[0] for rule in never if "src" not in rule] == [
        "-d 169.254.169.254/32",
        "-d 35.199.224.0/19",
    ]
    assert (internet, others) == ("-i internet -j RETURN", drop)


def test_the_next_hop_of_a_route_sends_under_its_own_address_only() -> None:
    """By its reverse path, whatever the route leads to would be behind it."""
    vpc = space(plan(other_ways()), "vpc-default")
    (address,) = (n.address for n in vpc.neighbours if n.device == "router")
    own = f"! -s {address}/32 -i router -m comment --comment anti-spoofing -j DROP"
    assert own in table_rules(vpc, "raw", "PREROUTING")


def test_a_vpn_gateway_may_bring_anything() -> None:
    vpc = space(plan(example()), "vpc-vpc")
    assert "-i vpn-gateway -j RETURN" in table_rules(vpc, "raw", "anti-spoofing")
    assert not [rule for rule in table_rules(vpc, "raw", "PREROUTING") if "vpn-gateway" in rule]


@pytest.mark.behaviour("4.5.1", "4.5.2", "4.5.8")
@pytest.mark.parametrize(
    ("networks", "active"),
    [
        ([network("vpc", "other"), network("other", "vpc")], True),
        ([network("vpc", "other"), network("other")], False),
        ([network("vpc"), network("other", "vpc")], False),
    ],
)
def test_a_peering_needs_both_sides(networks: list[Any], active: bool) -> None:
    there = {**subnet("there", "10.200.0.0/20"), "network": "other"}
    made = plan(small(compute=compute(networks=networks, subnetworks=[subnet(), there])))
    forth = {r.destination for r in space(made, "vpc-vpc").routes if r.device == "vpc-other"}
    back = {r.destination for r in space(made, "vpc-other").routes if r.device == "vpc-vpc"}
    assert forth == ({"10.200.0.0/20"} if active else set())
    assert back == ({"10.128.0.0/20", "10.8.0.0/28"} if active else set())  # the connector's, too: behaviour 4.5.8


@pytest.mark.behaviour("4.5.4")
def test_peering_is_not_transitive() -> None:
    networks = [network("vpc", "b"), network("b", "vpc", "c"), network("c", "b")]
    subnets = [
        subnet(),
        {**subnet("b", "10.200.0.0/20"), "network": "b"},
        {**subnet("c", "10.201.0.0/20"), "network": "c"},
    ]
    made = plan(small(compute=compute(networks=networks, subnetworks=subnets)))
    assert "10.201.0.0/20" not in {r.destination for r in space(made, "vpc-vpc").routes}
    forward = table_rules(space(made, "vpc-b"), "filter", "FORWARD")
    assert any("no-transit" in rule and rule.endswith("-j DROP") for rule in forward)


@pytest.mark.behaviour("4.9.1", "4.9.4", "4.9.5")
def test_redis_is_in_a_network_of_its_own() -> None:
    made = plan(example())
    producer = space(made, "vpc-redis-cache")
    assert _address(made, "cache") == "10.9.0.3"
    assert {"10.8.0.0/28", "10.128.0.0/20"} <= {r.destination for r in producer.routes if r.device == "vpc-vpc"}
    assert "10.9.0.0/29" in {r.destination for r in space(made, "vpc-vpc").routes}
    assert "10.9.0.0/29" not in {r.destination for r in space(made, "vpc-partner").routes}
    allow, deny = table_rules(producer, "filter", "ingress")
    assert allow.startswith("-p tcp -m multiport --dports 6379 ")
    assert allow.endswith("--comment redis-6379 -j ACCEPT")
    assert members(producer, allow) == [{"10.9.0.3"}]
    assert deny.endswith("implied-deny-ingress -j DROP")


def test_on_prem_is_behind_the_vpn_gateway() -> None:
    made = plan(example())
    (route,) = (r for r in space(made, "vpc-vpc").routes if r.destination == "192.168.10.0/24")
    assert route.device == "vpn-gateway"
    gateway = space(made, "vpn-gateway")
    assert {"10.8.0.0/28", "10.128.0.0/20", "10.132.0.0/20"} <= {r.destination for r in gateway.routes}
    site = space(made, "site-office")
    (default,) = (r for r in site.routes if r.destination == "0.0.0.0/0")
    assert default.device == "office-gateway"
    assert "192.168.10.0/24" not in {r.destination for r in space(made, "internet").routes}


@pytest.mark.behaviour("4.3.4", "4.3.5", "4.3.8")
def test_static_routes_by_next_hop() -> None:
    routes = {r.destination: r for r in space(plan(other_ways()), "vpc-default").routes}
    assert routes["100.64.0.0/24"].device == "internet"
    assert routes["100.64.1.0/24"].device == "router"
    assert routes["100.64.2.0/24"].device == "a"
    assert routes["100.64.3.0/24"].kind == "blackhole"
    assert routes["0.0.0.0/0"].device == "internet"


@pytest.mark.behaviour("4.3.7")
def test_what_no_nic_has_is_dropped() -> None:
    routes = {r.destination: r for r in space(plan(small()), "vpc-vpc").routes}
    assert {routes[cidr].kind for cidr in ("10.128.0.0/20", "10.8.0.0/28")} == {"blackhole"}
    assert (routes["10.128.0.2/32"].kind, routes["10.128.0.2/32"].device) == ("unicast", "a")


@pytest.mark.behaviour("3.6")
def test_a_flexible_instance_is_in_the_network_and_needs_no_connector() -> None:
    made = plan(other_ways())
    assert IPv4Network(_address(made, "flexible")).subnet_of(IPv4Network("10.128.0.0/20"))
    assert "flexible" in set(devices(made, "vpc-default"))
    assert "google-default" in set(devices(made, "front-end"))


# -- the way to the internet ------------------------------------------------------------------------------------------


@pytest.mark.behaviour("4.13.1")
def test_an_external_address_goes_before_cloud_nat() -> None:
    made = plan(other_ways())
    vpc = space(made, "vpc-default")
    external = allocate(other_ways(), Allocations()).addresses[
        AddressKey.external("projects/p/zones/us-central1-a/instances/a")
    ]
    (rule,) = table_rules(vpc, "nat", "POSTROUTING")
    assert rule.startswith("-s 10.128.0.2/32 -o internet ")
    assert rule.endswith(f"--to-source {external}")
    assert "10.128.0.2/32" not in str(space(made, "nat-nat").tables)
    *_, inbound = table_rules(vpc, "nat", "PREROUTING")
    assert inbound.startswith(f"-d {external}/32 -i internet ")


def test_without_an_external_address_nothing_leaves() -> None:
    made = space(plan(small()), "vpc-vpc")
    rule = next(r for r in table_rules(made, "filter", "FORWARD") if "no-external-address" in r)
    nobody, google = members(made, rule)
    assert not nobody
    assert google == {"199.36.153.4/30", "199.36.153.8/30", "203.0.113.1"}
    assert rule.endswith("-j DROP")


@pytest.mark.behaviour("3.2.4")
def test_direct_egress_has_a_pool_address() -> None:
    of = small()
    region = space(plan(of), "serverless-us-central1")
    (rule,) = table_rules(region, "nat", "POSTROUTING")
    first, last = rule.rsplit(" ", 1)[1].split("-")
    pool = IPv4Network(allocate(of, Allocations()).ranges[RangeKey.egress_pool("us-central1")])
    assert (IPv4Network(first).subnet_of(pool), IPv4Network(last).subnet_of(pool)) == (True, True)
    assert str(pool) in {r.destination for r in space(plan(of), "internet").routes}


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_a_secrets_payload_reaches_the_environment_that_names_it() -> None:
    of = example()
    (cache,) = of.redis.instances
    made = plan(of, auth_strings={cache.full_name: "opensesame"})
    (run,) = (node for node in made.nodes if node.name == "hello-run")
    assert run.secrets == {"REDIS_AUTH": "opensesame"}
    assert run.environment["PORT"] == "8080"
    assert "REDIS_AUTH" not in run.environment
    assert "opensesame" not in repr(run)
    assert [node.name for node in made.nodes if dict(node.variables).get("auth_string") == "opensesame"] == ["cache"]


def test_the_front_end_knows_every_workload() -> None:
    (front,) = (node for node in plan(example()).nodes if node.kind == "front-end")
    routes = {route["name"]: route for route in front.variables["routes"]}  # type: ignore[attr-defined]
    assert set(routes) == {"hello-run", "hello-function", "hello-standard", "hello-flexible"}
    assert routes["hello-function"]["prefix"] == "/hello-function/"


def test_a_function_runs_on_the_functions_framework() -> None:
    (node,) = (node for node in plan(example()).nodes if node.kind == "cloud-function")
    assert node.command[:3] == ("functions-framework", "--target", "relay")


def test_a_part_of_the_plan_is_whole() -> None:
    """What can be made before all nodes run refers to nothing that is missing."""
    made = plan(small())
    part = made.with_nodes({"web"})
    assert {node.name for node in part.nodes} == {"web"}
    names = {one.name for one in part.namespaces}
    assert names == {"web", "internet", "vpc-vpc", "edge-vpc", "google-vpc", "serverless-us-central1"}
    assert all({veth.a.namespace, veth.b.namespace} <= names for veth in part.veths)


def test_the_load_generator_is_there_when_it_is_wanted() -> None:
    assert "load" not in {node.name for node in plan(small()).nodes}
    (node,) = (node for node in plan(small(), load_generator=True).nodes if node.name == "load")
    assert set(node.hosts) == {w.host for w in small().workloads}


def test_identifiers_of_tunnels_tell_connectors_apart() -> None:
    of = small(
        vpcaccess={"connectors": [connector("c1"), connector("c2", "10.8.0.16/28")]},
        run={"services": [service("one", "c1"), service("two", "c2")]},
    )
    hops = space(plan(of), "serverless-us-central1").nexthops
    identifiers = {
        name: {h.encap_id for h in hops if h.encap_source == outer(of, allocate(of, Allocations()), name)}
        for name in ("one", "two")
    }
    assert len(identifiers["one"]) == len(identifiers["two"]) == 1
    assert identifiers["one"] != identifiers["two"]
    assert {h.encap_id for h in space(plan(of), "c2-0001").nexthops} == identifiers["two"]


def test_device_names_of_many_long_names_are_different() -> None:
    names = {interface_name(f"a-service-with-a-rather-long-name-{i}") for i in range(2000)}
    assert len(names) == 2000
    assert {len(name) for name in names} == {IFNAMSIZ}


@pytest.mark.behaviour("2.6.4")
def test_only_first_packets_come_to_the_rule_that_shortens_segments() -> None:
    rules = table_rules(space(plan(small()), "serverless-us-central1"), "filter", "FORWARD")
    (known,) = (i for i, rule in enumerate(rules) if "--ctstate RELATED,ESTABLISHED -j ACCEPT" in rule)
    (clamp,) = (i for i, rule in enumerate(rules) if "TCPMSS" in rule)
    assert known < clamp
