"""Routes by tag, ECMP and forwarding instances, felt by packets: bare namespaces, wired by the real compiler."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from testbed.fabric.plan import Namespace, Plan
from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference
from tests.kernel.spaces import Paths, answering, ask, sh, spaces
from tests.unit.topologies import Data, compute, connector, network, plan, service, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET, eventually, patience

FAR = "10.50.0.1"
"""An address behind the routers, as an on-prem one is."""
PORT = 80
ALLOW = {"name": "allow", "network": "vpc", "priority": 0, "allowed": "all"}


def router(name: str, **more: Any) -> Data:
    return vm(name, canIpForward=True, **more)


def route(name: str, hop: str, destination: str = "10.50.0.0/16", **more: Any) -> Data:
    return {"name": name, "network": "vpc", "destRange": destination, "nextHopInstance": hop, **more}


def made(**collections: Any) -> Plan:
    return plan(topology(compute=compute(**{"firewalls": [ALLOW], **collections})))


def behind(of: Plan, *routers: str, address: str = FAR) -> Plan:
    """The plan, with an address on the loopback devices of some instances."""

    def with_address(space: Namespace) -> Namespace:
        found = space.name in routers
        return replace(space, loopback=space.loopback | {f"{address}/32"}) if found else space

    return replace(of, namespaces=tuple(map(with_address, of.namespaces)))


@contextmanager
def built(of: Plan) -> Iterator[Paths]:
    with spaces(*(space.name for space in of.namespaces)) as paths:
        apply(of, paths)
        yield paths


@contextmanager
def answered_by(paths: Paths, *nodes: str, address: str = FAR) -> Iterator[None]:
    with ExitStack() as stack:
        for node in nodes:
            stack.enter_context(answering(paths[node], (address, PORT), node))
        yield


def asked(paths: Paths, sender: str, address: str = FAR, *, within: float = PATIENCE) -> str | None:
    """Who answers a new connection of a sender; None if nobody does."""
    with namespace.socket_in(paths[sender], socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(within)
        with suppress(OSError):
            client.connect((address, PORT))
            return ask(client)
    return None


def dropped(paths: Paths, space: str, chain: str, comment: str) -> int:
    text = sh(paths[space], f"iptables -w -t filter -vxnL {chain}")
    return sum(int(line.split()[0]) for line in text.splitlines() if comment in line)


@pytest.mark.behaviour("4.3.4", "4.3.6", "2.4.2", "2.4.5")
def test_a_tagged_route_applies_to_senders_with_the_tag_only() -> None:
    machines = [vm("plain"), vm("web", tags={"items": ["web"]}), router("r")]
    of = behind(made(instances=machines, routes=[route("s", "r", tags=["web", "vpc-connector"])]), "r")
    with built(of) as paths, answered_by(paths, "r"):
        assert asked(paths, "web") == "r"
        assert asked(paths, "plain", within=QUIET) is None
        assert difference(of, paths) == []


@pytest.mark.behaviour("4.3.5")
def test_the_most_specific_route_wins_with_tags_or_without() -> None:
    """A wider tagged route does not beat a narrower one without tags; a narrower tagged one beats a wider one."""
    machines = [vm("web", tags={"items": ["web"]}), router("wide"), router("narrow"), router("tagged")]
    routes = [
        route("w", "wide", "10.0.0.0/8", tags=["web"], priority=0),
        route("n", "narrow"),
        route("t", "tagged", "10.50.0.0/24", tags=["web"], priority=65535),
    ]
    other, routers = "10.50.1.1", ("wide", "narrow", "tagged")
    of = behind(behind(made(instances=machines, routes=routes), *routers), *routers, address=other)
    with built(of) as paths, answered_by(paths, *routers), answered_by(paths, *routers, address=other):
        assert asked(paths, "web") == "tagged"
        assert asked(paths, "web", other) == "narrow"


@pytest.mark.behaviour("4.3.1", "4.3.2", "4.3.5")
def test_no_tagged_route_beats_a_subnet() -> None:
    machines = [vm("web", tags={"items": ["web"]}), vm("db"), router("r")]
    of = made(instances=machines, routes=[route("w", "r", "0.0.0.0/0", tags=["web"], priority=0)])
    address = next(n.address for s in of.namespaces if s.name == "vpc-vpc" for n in s.neighbours if n.device == "db")
    with built(of) as paths, answered_by(paths, "db", address=address):
        assert asked(paths, "web", address) == "db"


@pytest.mark.behaviour("4.3.5")
def test_equal_routes_share_flows_and_a_flow_stays() -> None:
    of = behind(
        made(instances=[vm("a"), router("r1"), router("r2")], routes=[route("s1", "r1"), route("s2", "r2")]), "r1", "r2"
    )
    with built(of) as paths, answered_by(paths, "r1", "r2"), ExitStack() as stack:
        seen = set()
        for _ in range(40):
            client = stack.enter_context(namespace.socket_in(paths["a"], socket.AF_INET, socket.SOCK_STREAM))
            client.settimeout(PATIENCE)
            client.connect((FAR, PORT))
            who = ask(client)
            assert {ask(client) for _ in range(5)} == {who}
            seen.add(who)
        assert seen == {"r1", "r2"}
        assert difference(of, paths) == []


@pytest.mark.behaviour("4.3.5", "4.3.8")
def test_a_route_whose_next_hop_is_stopped_gives_way_to_the_next() -> None:
    """And if all are, nothing wider takes their place: the packet is dropped."""
    for stopped, who in (((), "r1"), (("r1",), "r2"), (("r1", "r2"), None)):
        machines = [
            vm("a"),
            router("wide"),
            *(router(name, status="TERMINATED" if name in stopped else "RUNNING") for name in ("r1", "r2")),
        ]
        routes = [route("s1", "r1", priority=1), route("s2", "r2", priority=2), route("s3", "wide", "10.0.0.0/8")]
        there = [name for name in ("wide", "r1", "r2") if name not in stopped]
        with built(behind(made(instances=machines, routes=routes), *there)) as paths, answered_by(paths, *there):
            assert asked(paths, "a", within=patience(who)) == who


@pytest.mark.behaviour("4.3.8", "7.1.7")
def test_an_instance_that_may_not_forward_gets_nothing_for_others() -> None:
    of = behind(made(instances=[vm("a"), vm("r")], routes=[route("s", "r")]), "r")
    with built(of) as paths, answered_by(paths, "r"):
        assert asked(paths, "a", within=QUIET) is None
        assert dropped(paths, "vpc-vpc", "receivers", "foreign-ip-disallowed") > 0


@pytest.mark.behaviour("4.1.12", "4.1.16")
@pytest.mark.parametrize(
    ("rules", "who"),
    [
        ([], None),
        ([{"targetTags": ["router"], "allowed": "tcp:80"}], "r"),
        ([{"targetTags": ["other"], "allowed": "tcp:80"}], None),
        ([{"allowed": "tcp:80"}, {"targetTags": ["router"], "denied": "all", "priority": 1}], None),
        ([{"sourceTags": ["client"], "allowed": "tcp:80"}], "r"),
        ([{"destinationRanges": [f"{FAR}/32"], "allowed": "tcp:80"}], "r"),
    ],
)
def test_the_rules_of_a_forwarder_judge_what_it_is_given(rules: Sequence[Data], who: str | None) -> None:
    rules = [{"name": f"r{i}", "network": "vpc", **rule} for i, rule in enumerate(rules)]
    machines = [vm("a", tags={"items": ["client"]}), router("r", tags={"items": ["router"]})]
    of = behind(made(instances=machines, routes=[route("s", "r")], firewalls=rules), "r")
    with built(of) as paths, answered_by(paths, "r"):
        assert asked(paths, "a", within=patience(who)) == who


@pytest.mark.behaviour("4.1.16")
@pytest.mark.parametrize(("targets", "reaches"), [(["router"], False), (["other"], True)])
def test_the_rules_of_a_forwarder_judge_what_it_sends_for_others(targets: list[str], reaches: bool) -> None:
    """A connection from behind a router comes from an address that no NIC has, and by the router's egress rules."""
    deny = {"name": "no", "network": "vpc", "direction": "EGRESS", "denied": "all", "targetTags": targets}
    machines = [vm("a"), router("r", tags={"items": ["router"]})]
    of = behind(made(instances=machines, routes=[route("s", "r")], firewalls=[ALLOW, deny]), "r")
    address = next(n.address for s in of.namespaces if s.name == "vpc-vpc" for n in s.neighbours if n.device == "a")
    with built(of) as paths, answered_by(paths, "a", address=address):
        with namespace.socket_in(paths["r"], socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(patience(reaches))
            client.bind((FAR, 0))
            found = None
            with suppress(OSError):
                client.connect((address, PORT))
                found = ask(client)
        assert (found == "a") == reaches


def test_an_instance_that_forwards_passes_packets_on() -> None:
    """Its kernel does: what lies behind it is a namespace that only it reaches."""
    of = made(instances=[vm("a"), router("r")], routes=[route("s", "r")])
    names = [*(space.name for space in of.namespaces), "site"]
    with spaces(*names) as paths:
        apply(of, paths)
        sh(paths["r"], "ip link add lan type veth peer name to-r")
        sh(paths["r"], f"ip link set to-r netns {paths['site'].rsplit('/', 1)[1]}")
        sh(paths["r"], "ip address add 10.50.0.254/24 dev lan")
        sh(paths["r"], "ip link set lan up")
        sh(paths["site"], f"ip address add {FAR}/24 dev to-r")
        sh(paths["site"], "ip link set to-r up")
        sh(paths["site"], "ip route add default via 10.50.0.254")
        with answered_by(paths, "site"):  # its link comes up, and addresses are resolved, in their own time
            eventually(lambda: asked(paths, "a") == "site", "site answers")


@pytest.mark.behaviour("4.3.1", "4.5.3", "4.5.4", "4.5.6")
def test_a_peer_takes_only_the_ways_that_it_imports() -> None:
    """`vpc` has a narrower route to elsewhere which it does not export: `other` goes on by the one that it knows."""
    peered = [network("vpc", "other"), network("other", "vpc")]
    peered[0]["peerings"][0]["exportCustomRoutes"] = True
    peered[1]["peerings"][0]["importCustomRoutes"] = True
    subnets = [subnet(), {**subnet("there", "10.2.0.0/24"), "network": "other"}]
    machines = [vm("a", tags={"items": ["web"]}), router("r"), vm("b", "there", tags={"items": ["web"]})]
    hidden = {
        **route("hidden", "", "10.50.0.0/24"),
        "nextHopInstance": None,
        "nextHopGateway": "default-internet-gateway",
    }
    routes = [route("s", "r"), hidden, route("tagged", "r", "10.60.0.0/24", tags=["web"])]
    of = made(networks=peered, subnetworks=subnets, instances=machines, routes=routes)
    of = behind(behind(of, "r"), "r", address="10.60.0.1")
    with built(of) as paths, answered_by(paths, "r"), answered_by(paths, "r", address="10.60.0.1"):
        assert asked(paths, "b") == "r"
        assert asked(paths, "a", within=QUIET) is None
        assert asked(paths, "a", "10.60.0.1") == "r"
        assert asked(paths, "b", "10.60.0.1", within=QUIET) is None  # tags mean nothing across: behaviour 4.5.3, 4.5.6


@pytest.mark.behaviour("4.3.11", "2.1.5")
def test_no_route_overrides_a_special_path() -> None:
    machines = [vm("a"), router("r")]
    routes = [route(f"s{i}", "r", cidr) for i, cidr in enumerate(("35.199.224.0/24", "35.191.0.0/16", "0.0.0.0/0"))]
    of = behind(behind(made(instances=machines, routes=routes), "r", address="35.199.224.1"), "r", address="35.191.0.9")
    with built(of) as paths:
        for address in ("35.199.224.1", "35.191.0.9"):
            with answered_by(paths, "r", address=address):
                assert asked(paths, "a", address, within=QUIET) is None


@pytest.mark.behaviour("2.4.2", "2.4.5", "4.3.4")
@pytest.mark.parametrize(
    ("tag", "reaching"),
    [
        ("vpc-connector-us-central1-c1", {"web"}),
        ("vpc-connector", {"web", "other"}),
        ("vpc-connector-us-central1", set()),
    ],
)
def test_a_route_may_be_for_one_connector_only(tag: str, reaching: set[str]) -> None:
    """Only the workloads of that connector get there, and no VM."""
    of = plan(
        topology(
            compute=compute(instances=[vm("a"), router("r")], routes=[route("s", "r", tags=[tag])], firewalls=[ALLOW]),
            vpcaccess={"connectors": [connector("c1"), connector("c2", "10.9.0.0/28")]},
            run={"services": [service("web", "c1"), service("other", "c2")]},
        )
    )
    with built(behind(of, "r")) as paths, answered_by(paths, "r"):
        for name in ("web", "other", "a"):
            assert (asked(paths, name, within=patience(name in reaching)) == "r") == (name in reaching), name


ROUTERS = ("fw1", "fw2", "fw3")


def equal(*hops: str, tags: Sequence[str] = ()) -> Plan:
    """A plan in which routes of equal priority lead by these of three instances to what is behind all of them."""
    routes = [route(f"by-{hop}", hop, "10.50.0.0/16", tags=tags) for hop in hops]
    sender = vm("a", tags={"items": [*tags]})
    return behind(made(instances=[sender, *map(router, ROUTERS)], routes=routes), *ROUTERS)


def answers(flows: Sequence[socket.socket]) -> list[str]:
    """Who answers each connection, or what became of it."""
    found = []
    for flow in flows:
        try:
            found.append(ask(flow))
        except ConnectionResetError:
            found.append("reset")
    return found


@contextmanager
def connected(paths: Paths, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(namespace.connect(paths["a"], (FAR, PORT), PATIENCE)) for _ in range(count)]


def retransmissions(flow: socket.socket) -> int:
    """How often TCP has sent what it waits for (`tcpi_retransmits` of `struct tcp_info`)."""
    return flow.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]


@pytest.mark.behaviour("4.3.5")
@pytest.mark.parametrize("tags", [(), ("web",)])
def test_a_flow_stays_on_the_next_hop_that_it_took(tags: Sequence[str]) -> None:
    """Neither lost packets nor a further next hop move it, which gets new flows.  One that goes loses its own."""
    of = equal("fw1", "fw2", tags=tags)
    with built(of) as paths, answered_by(paths, *ROUTERS), connected(paths, 24) as flows:
        before = answers(flows)
        assert {*before} == {"fw1", "fw2"}
        for node in ROUTERS:
            sh(paths[node], "iptables -w -I INPUT -p tcp -j DROP")
        for flow in flows:
            flow.sendall(b"?")
        eventually(lambda: min(map(retransmissions, flows)) >= 3, "time-outs of all flows")
        for node in ROUTERS:
            sh(paths[node], "iptables -w -D INPUT -p tcp -j DROP")
        assert [flow.recv(64).decode() for flow in flows] == before

        apply(equal(*ROUTERS, tags=tags), paths)
        assert difference(equal(*ROUTERS, tags=tags), paths) == []
        assert answers(flows) == before
        with connected(paths, 24) as further:
            assert {*answers(further)} == {*ROUTERS}

        apply(equal("fw2", "fw3", tags=tags), paths)
        assert answers(flows) == ["reset" if router == "fw1" else router for router in before]


@pytest.mark.behaviour("4.3.5")
def test_a_second_next_hop_moves_no_flow_of_the_first() -> None:
    with built(equal("fw1")) as paths, answered_by(paths, *ROUTERS), connected(paths, 24) as flows:
        assert {*answers(flows)} == {"fw1"}
        apply(equal("fw1", "fw2"), paths)
        assert {*answers(flows)} == {"fw1"}
        with connected(paths, 24) as further:
            assert {*answers(further)} == {"fw1", "fw2"}
