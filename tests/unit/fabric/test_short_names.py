"""What nodes and segments are called: no two alike, and never otherwise while they live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.control.connectors import additions
from testbed.control.state.store import Store
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, ContainerInstance, NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.allocation.short_names import free_serial, give
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Plan
from testbed.model.topology import Topology
from tests.unit.topologies import Data, compute, connector, example, network, service, small, subnet, vm

ZONES = "projects/p/zones"
VPC = "projects/p/global/networks/vpc"
LOCATIONS = "projects/p/locations"


def vms(*places: str) -> list[Data]:
    """VMs called `web`, by zone."""
    return [vm("web", zone=zone) for zone in places]


def everything_called(name: str, **apis: Any) -> Topology:
    """A VM, a gateway, a service, a function, Redis, a host on the internet, and all of a site, of one name."""
    gateway = {
        "addresses": [{"name": "ip", "address": "198.51.100.77"}],
        "targetVpnGateways": [{"name": name, "network": "vpc"}],
        "forwardingRules": [
            {"name": "esp", "IPAddress": "ip", "IPProtocol": "ESP", "target": name},
            {"name": "u500", "IPAddress": "ip", "IPProtocol": "UDP", "portRange": "500", "target": name},
            {"name": "u4500", "IPAddress": "ip", "IPProtocol": "UDP", "portRange": "4500", "target": name},
        ],
    }
    return small(
        **{
            "compute": compute(instances=[vm(name)], **gateway),
            "run": {"services": [service(name, instances=2)]},
            "cloudfunctions": {"functions": [{"name": name, "buildConfig": {"entryPoint": "f", "source": "/s"}}]},
            "redis": {"instances": [{"name": name, "authorizedNetwork": "vpc"}]},
            "internet": {"hosts": [{"name": name, "address": "203.0.113.9"}]},
            "onPrem": {
                "sites": [
                    {
                        "name": name,
                        "range": "192.168.0.0/24",
                        "hosts": [{"name": name, "address": "192.168.0.9"}],
                        "gateway": {"name": "gw", "externalAddress": "203.0.113.20", "internalAddress": "192.168.0.1"},
                    }
                ]
            },
            **apis,
        }
    )


def runtime(workload: str, number: int) -> NameKey:
    return NameKey.runtime(ContainerInstance(f"{LOCATIONS}/us-central1/{workload}", number))


def called(of: Topology) -> dict[NameKey, str]:
    return give(of, {})


def compiled(of: Topology, previous: Mapping[NameKey, str] | None = None) -> Plan:
    """The plan; no two of its nodes, namespaces or devices have one name."""
    allocations = allocate(of, Allocations(names=previous or {}))
    names = {*allocations.names.values()}
    known = [0]

    def serial(name: str) -> int:
        """As the store gives them out."""
        known.append(free_serial(name, known[-1] + 1, names))
        return known[-1]

    made = compile_topology(of, Running(allocations, tuple(additions(of, (), serial))))
    devices = Counter((end.namespace, end.interface.name) for veth in made.veths for end in (veth.a, veth.b))
    assert max(Counter(space.name for space in made.namespaces).values()) == 1
    assert max(Counter(node.name for node in made.nodes).values(), default=1) == 1
    assert max(devices.values()) == 1
    assert {node.name for node in made.nodes} == {space.name for space in made.namespaces if space.node}
    return made


def test_everything_may_have_one_name() -> None:
    of = everything_called("web")
    others = {NameKey.region("us-central1")} | {make(VPC) for make in (NameKey.network, NameKey.google, NameKey.edge)}
    assert {key: name for key, name in called(of).items() if key not in others} == {
        NameKey.node(f"{ZONES}/us-central1-a/instances/web"): "web",
        NameKey.node("projects/p/regions/us-central1/targetVpnGateways/web"): "web.vpn",
        NameKey.node(f"{LOCATIONS}/us-central1/instances/web"): "web.redis",
        NameKey.producer(f"{LOCATIONS}/us-central1/instances/web"): "vpc-redis-web",
        NameKey.internet_host("web"): "web.host",
        NameKey.site("web"): "site-web",
        NameKey.name_server(): "dns",
        NameKey.site_end("web", 0): "gw",
        NameKey.site_host("web", "web"): "web.host-2",
        runtime("services/web", 0): "web.run",
        runtime("services/web", 1): "web-2",
        runtime("functions/web", 0): "web.function",
    }
    kinds = {node.name: node.kind for node in compiled(of).nodes}
    assert kinds["web"] == "vm"
    assert kinds["web.run"] == kinds["web-2"] == "cloud-run"


def test_what_is_alone_has_its_short_name() -> None:
    assert not [name for name in called(example()).values() if "." in name]


@pytest.mark.parametrize(
    "name",
    [
        "front-end",
        "load",
        "internet",
        "default",
        "tun0",
        "tun1",
        "vpc-vpc",
        "google-vpc",
        "serverless-us-central1",
        "c1-0001",
        "c1-0099",
    ],
)
def test_the_testbeds_own_parts_come_first(name: str) -> None:
    of = everything_called(name)
    assert called(of)[NameKey.node(f"{ZONES}/us-central1-a/instances/{name}")] == f"{name}.vm"
    compiled(of)


def test_places_tell_equals_apart() -> None:
    there = {"name": "vpc", "selfLink": "projects/q/global/networks/vpc"}
    of = small(
        compute=compute(
            networks=[network(), there],
            instances=vms("us-central1-a", "us-central1-b", "us-central1-c"),
        )
    )
    found = called(of)
    assert [found[NameKey.node(f"{ZONES}/us-central1-{zone}/instances/web")] for zone in "abc"] == [
        "web",
        "web.us-central1-b",
        "web.us-central1-c",
    ]
    assert found[NameKey.network("projects/q/global/networks/vpc")] == "vpc-vpc.q"
    assert found[NameKey.google("projects/q/global/networks/vpc")] == "google-vpc.q"
    compiled(of)


def test_instances_of_connectors_are_called_as_no_other_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    here, there = (f"{LOCATIONS}/{region}/connectors/c1" for region in ("us-central1", "europe-west1"))
    with Store.open("names", create=True) as store:
        assert [store.connectors.next_serial(one) for one in (here, there, here)] == [1, 2, 3]
        store.allocations.replace(
            Allocations({AddressKey.front_end(): "c1-0005"}, names={NameKey.node("x"): "c1-0004"})
        )  # a VM, and something that is no name
        assert store.connectors.next_serial(there) == 5


def test_who_stays_keeps_his_name_and_his_address() -> None:
    of = small(compute=compute(instances=[vm("web")]))
    before = allocate(of, Allocations())
    alone = small(compute=compute(instances=[]))
    after = allocate(alone, before)
    web = ContainerInstance(f"{LOCATIONS}/us-central1/services/web", 0)
    node, outer = NameKey.runtime(web), AddressKey.outer(web)
    assert before.names[node] == after.names[node] == "web.run"
    assert before.addresses[outer] == after.addresses[outer]
    machine = f"{ZONES}/us-central1-a/instances/web"
    assert AddressKey.instance(machine) not in after.addresses
    again = allocate(small(compute=compute(instances=[vm("web")])), after)
    assert again.names[NameKey.node(machine)] == "web"
    later = allocate(alone, allocate(small(compute=compute(instances=[]), run={}), after))
    assert later.names[node] == "web"


def test_routes_find_the_node_they_mean() -> None:
    """Two VMs of one name, and one gateway: by each of them goes a route."""
    zones = ("us-central1-a", "us-central1-b")
    routes = [
        {
            "name": f"r{i}",
            "network": "vpc",
            "destRange": f"10.9{i}.0.0/16",
            "nextHopInstance": f"{ZONES}/{zone}/instances/web",
        }
        for i, zone in enumerate(zones)
    ]
    made = compiled(small(compute=compute(instances=vms(*zones), routes=routes)))
    (vpc,) = (space for space in made.namespaces if space.name == "vpc-vpc")
    hops = {route.destination: route.gateway for route in vpc.routes}
    assert {cidr: hops[cidr] for cidr in ("10.90.0.0/16", "10.91.0.0/16")} == {
        "10.90.0.0/16": "10.128.0.2",
        "10.91.0.0/16": "10.128.0.3",
    }


NAMES = st.sampled_from(["aa", "aa-2", "aa-0001", "vpc-aa", "redis-aa", "vpc-redis-aa", "load", "google-aa"])
SOME = st.sets(NAMES, max_size=4).map(sorted)


@st.composite
def crowds(draw: st.DrawFn) -> Topology:
    """Resources of every kind that has nodes, with few names between them."""
    networks = [network("vpc"), *(network(name) for name in draw(SOME))]
    machines = [vm(name, zone=f"us-central1-{zone}") for zone in "ab" for name in draw(SOME)]
    connectors = [connector(name, f"10.8.{i}.0/28") for i, name in enumerate(draw(SOME))]
    return small(
        compute=compute(networks=networks, subnetworks=[subnet()], instances=machines),
        vpcaccess={"connectors": connectors},
        run={"services": [service(name, None, instances=draw(st.integers(1, 2))) for name in draw(SOME)]},
        redis={"instances": [{"name": name, "authorizedNetwork": "vpc"} for name in draw(SOME)]},
        internet={"hosts": [{"name": n, "address": f"203.0.113.{9 + i}"} for i, n in enumerate(draw(SOME))]},
    )


@given(crowds(), crowds())
def test_no_two_are_called_alike_and_nobody_is_renamed(first: Topology, second: Topology) -> None:
    compiled(first)
    before = give(first, {})
    compiled(second, before)
    after = give(second, before)
    assert {key: after[key] for key in before.keys() & after.keys()} == {
        key: before[key] for key in before.keys() & after.keys()
    }
    assert len(set(after.values())) == len(after)
    assert give(second, after) == after
