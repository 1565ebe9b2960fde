"""Direct VPC egress: the service `web` is in the subnet `us` of the network `vpc`, as VM `a` is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from testbed.fabric.allocation.cloud_nat import address_keys
from testbed.fabric.allocation.keys import AddressKey, container_instances
from testbed.fabric.allocation.running import Running
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Plan
from testbed.kernel import firewall
from testbed.kernel.apply import apply
from testbed.model.topology import Topology
from testbed.oracle.verdict import Flow, Protocol
from tests.kernel.probe import Probe
from tests.kernel.spaces import Paths, spaces
from tests.unit.topologies import Data, compute, connector, network, running, service, subnet, topology, vm

PORTS: dict[Protocol, Sequence[int | None]] = {"tcp": (80,), "udp": (53,), "icmp": (None,)}
VM, HOST, POOL = "10.128.0.2", "203.0.113.10", "192.0.2."
OPEN = {"name": "open", "network": "vpc", "allow": "all", "sourceRanges": ["0.0.0.0/0"]}
PRIVATE, ALL = "PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"


def direct(name: str = "web", egress: str = PRIVATE, tags: Sequence[str] = (), **where: Any) -> Data:
    made = service(name, None)
    interfaces = [{**(where or {"subnetwork": "us"}), "tags": [*tags]}]
    made["template"]["vpcAccess"] = {"networkInterfaces": interfaces, "egress": egress}
    return made


def world(*services: Data, rules: Sequence[Data] = (OPEN,), **apis: Any) -> Topology:
    given = {
        "compute": compute(instances=[vm("a", address=VM)], firewalls=[*rules]),
        "run": {"services": [*services]},
        "internet": {"hosts": [{"name": "host", "address": HOST}]},
    }
    return topology(**{**given, **apis})


def address_of(of: Topology, state: Running, name: str = "web") -> str:
    """The address in the subnet that the first instance of a service has."""
    workload = next(workload for workload in of.workloads if workload.id == name)
    return state.address(AddressKey.interface(container_instances(workload)[0]))


@contextmanager
def made(of: Topology, state: Running | None = None) -> Iterator[tuple[Plan, Paths]]:
    plan = compile_topology(of, state or running(of))
    with spaces(*(space.name for space in plan.namespaces)) as paths:
        apply(plan, paths)
        yield plan, paths


def seen(plan: Plan, paths: Paths, *flows: Flow) -> list[str | None]:
    """The source address that each flow was seen from, None if it got no answer."""
    servers = [node.name for node in plan.nodes if node.kind != "connector-instance"]
    probe = Probe.run(paths, servers, flows, PORTS)
    return [probe.seen.get(number) if number in probe.answered else None for number in range(len(flows))]


def to(destination: str, source: str = "web") -> list[Flow]:
    return [Flow(source, destination, protocol, PORTS[protocol][0]) for protocol in PORTS]


@pytest.mark.behaviour("7.2", "3.2.4")
def test_the_vm_sees_the_address_in_the_subnet_and_the_internet_one_of_the_pool() -> None:
    of = world(direct())
    state = running(of)
    mine = address_of(of, state)

    with made(of, state) as (plan, paths):
        inside, outside = seen(plan, paths, *to(VM)), seen(plan, paths, *to(HOST))

    assert mine.startswith("10.128.0.")
    assert mine != VM
    assert inside == [mine] * 3
    assert all(source is not None and source.startswith(POOL) for source in outside)


@pytest.mark.behaviour("7.2", "3.3.1", "3.3.2")
@pytest.mark.parametrize("nat", [False, True])
def test_all_traffic_needs_cloud_nat_for_the_internet(*, nat: bool) -> None:
    nats = [{"name": "nat"}] if nat else []
    of = world(
        direct(egress=ALL),
        compute=compute(
            instances=[vm("a", address=VM)], firewalls=[OPEN], routers=[{"name": "r", "network": "vpc", "nats": nats}]
        ),
    )
    state = running(of)

    with made(of, state) as (plan, paths):
        inside, outside = seen(plan, paths, *to(VM)), seen(plan, paths, *to(HOST))

    assert inside == [address_of(of, state)] * 3
    gateways = [(router, gateway) for router in of.compute.routers for gateway in router.nats]
    external = [state.address(key) for one in gateways for key in address_keys(of, *one)]
    assert outside == (external if nat else [None]) * 3


@pytest.mark.behaviour("7.2")
def test_nothing_can_be_opened_to_it_though_the_firewall_lets_it_in() -> None:
    of = world(direct())
    state = running(of)
    mine = address_of(of, state)

    with made(of, state) as (plan, paths):
        assert seen(plan, paths, *to(mine, "a")) == [None] * 3
        counted = {rule.comment: rule.packets for rule in firewall.counters(paths["web"])}
        assert counted["egress-only"] >= 3
        assert seen(plan, paths, *to(VM)) == [mine] * 3  # and what it opens itself gets its answers


@pytest.mark.behaviour("7.2", "4.1.12")
def test_tags_are_those_of_the_service_for_egress_rules() -> None:
    deny = {
        "name": "no-web",
        "network": "vpc",
        "direction": "EGRESS",
        "priority": 10,
        "deny": "tcp:80",
        "targetTags": ["web"],
    }
    of = world(direct(tags=["web"]), direct("other"), rules=[OPEN, deny])
    state = running(of)

    with made(of, state) as (plan, paths):
        web = seen(plan, paths, *to(VM))
        other = seen(plan, paths, *to(VM, "other"))
        counted = {rule.comment: rule.packets for rule in firewall.counters(paths["vpc-vpc"])}

    assert web == [None, *[address_of(of, state)] * 2]
    assert other == [address_of(of, state, "other")] * 3
    assert counted["no-web"] >= 1


@pytest.mark.behaviour("7.2", "4.1.11")
@pytest.mark.parametrize("action", ["allow", "deny"])
def test_as_a_source_tag_it_means_the_service(action: str) -> None:
    by_tag = {"name": "by-tag", "network": "vpc", action: "all", "sourceTags": ["web"], "priority": 10}
    rules: list[Data] = [by_tag] if action == "allow" else [OPEN, by_tag]
    of = world(direct(tags=["web"]), direct("other"), compute=compute(instances=[vm("a", address=VM)], firewalls=rules))
    state = running(of)

    with made(of, state) as (plan, paths):
        web, other = seen(plan, paths, *to(VM)), seen(plan, paths, *to(VM, "other"))

    mine, others = [address_of(of, state)] * 3, [address_of(of, state, "other")] * 3
    assert (web, other) == ((mine, [None] * 3) if action == "allow" else ([None] * 3, others))


@pytest.mark.behaviour("7.2", "4.5.2")
def test_peered_networks_are_reached_as_from_a_vm() -> None:
    theirs = {"name": "open-b", "network": "b", "allow": "all", "sourceRanges": ["10.128.0.0/20"]}
    of = world(
        direct(),
        compute={
            "networks": [network("vpc", "b"), network("b", "vpc")],
            "subnetworks": [subnet(), {"name": "b", "network": "b", "ipCidrRange": "10.9.0.0/24"}],
            "instances": [vm("far", "b", address="10.9.0.2")],
            "firewalls": [theirs],
        },
    )
    state = running(of)

    with made(of, state) as (plan, paths):
        assert seen(plan, paths, *to("10.9.0.2")) == [address_of(of, state)] * 3


def test_two_networks_with_the_same_addresses_are_told_apart() -> None:
    of = world(
        direct(),
        direct("other", subnetwork="b"),
        compute={
            "networks": [network(), network("b")],
            "subnetworks": [subnet(), {"name": "b", "network": "b", "ipCidrRange": "10.128.0.0/20"}],
            "instances": [vm("a", address="10.128.0.8"), vm("b", "b", address="10.128.0.9")],
            "firewalls": [OPEN, {**OPEN, "name": "open-b", "network": "b"}],
        },
    )
    state = running(of)

    with made(of, state) as (plan, paths):
        found = seen(plan, paths, *to("10.128.0.8"), *to("10.128.0.9"))
        assert found == [*[address_of(of, state)] * 3, *[None] * 3]
        found = seen(plan, paths, *to("10.128.0.9", "other"), *to("10.128.0.8", "other"))
        assert found == [*[address_of(of, state, "other")] * 3, *[None] * 3]


@pytest.mark.behaviour("7.2", "1.12.4")
def test_a_service_moves_from_a_connector_to_direct_egress_and_back() -> None:
    connectors = {"connectors": [connector()]}
    through, own = world(service("web"), vpcaccess=connectors), world(direct(), vpcaccess=connectors)
    before, after = running(through), running(own)

    with made(through, before) as (plan, paths):
        assert set(seen(plan, paths, *to(VM))[:2]) <= {"10.8.0.2", "10.8.0.3"}
        direct_plan = compile_topology(own, after)
        apply(direct_plan, paths)
        assert seen(direct_plan, paths, *to(VM)) == [address_of(own, after)] * 3
        apply(plan, paths)
        assert set(seen(plan, paths, *to(VM))[:2]) <= {"10.8.0.2", "10.8.0.3"}


@pytest.mark.behaviour("7.2")
@pytest.mark.parametrize("egress", [PRIVATE, ALL])
def test_the_front_end_reaches_it_by_its_other_interface(egress: str) -> None:
    of = world(direct(egress=egress))

    with made(of) as (plan, paths):
        inner = next(space for space in plan.namespaces if space.name == "web")
        (address,) = (
            end.interface.addresses
            for veth in plan.veths
            for end in (veth.a, veth.b)
            if (end.namespace, end.interface.name) == (inner.name, "eth0")
        )
        (inner_address,) = (one.removesuffix("/32") for one in address)
        (source,) = seen(plan, paths, Flow("front-end", inner_address, "tcp", 80))
        assert source is not None
        assert source.startswith("35.199.")
