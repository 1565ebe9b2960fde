"""The proof: the oracle and real packets agree, on random networks that the real compiler has compiled.

`make prove` tries many networks, a run of all tests a few.  What fails is printed as a file for `tests/kernel/oracle`;
the files there are tried each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from testbed.fabric.allocation.keys import AddressKey, NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.compiler import compile_topology
from testbed.fabric.firewall import decision_tree
from testbed.fabric.firewall.decision_tree import Limits
from testbed.fabric.plan import Chain, Namespace, Plan, Table, whole
from testbed.kernel import firewall
from testbed.kernel.apply import apply
from testbed.model.compute.firewall import Firewall
from testbed.model.core.resource import last
from testbed.model.core.well_known import INTERNET, vpc_segment
from testbed.model.drop_causes import Cause
from testbed.model.topology import Topology
from testbed.oracle.judge import judge
from testbed.oracle.verdict import Direction, Flow, Ruling, Verdict
from tests import proof
from tests.kernel.networks import HOSTS, PORTS, REDIS, REGION, ZONE, Case, cases, flows, read
from tests.kernel.probe import Probe
from tests.kernel.sites import with_tunnels
from tests.kernel.spaces import Paths, spaces
from tests.sample import TIMES, size
from tests.tally import TALLY

NETWORKS = size(8, 160)
TREES = size(2, 40)
"""Networks whose rules become decision trees, however few they are."""
PHASES = (Phase.generate, Phase.shrink) if TIMES else (Phase.generate,)
pytestmark = pytest.mark.timeout(900 * max(1, TIMES))  # on a busy machine
KEPT = Path(__file__).parent / "oracle"
DEAD_ENDS = frozenset(
    {
        Cause.NO_ROUTE,
        Cause.ROUTE_BLACKHOLE,
        Cause.ROUTE_NEXT_HOP_IP_ADDRESS_NOT_RESOLVED,
        Cause.INSTANCE_NOT_RUNNING,
        Cause.UNKNOWN_INTERNAL_ADDRESS,
    }
)
"""The kernel looks for the route first, so that a packet without one may meet no rule."""
IMPLIED: dict[Direction, str] = {"EGRESS": "implied-allow-egress", "INGRESS": "implied-deny-ingress"}

LISTENED = {protocol: tuple(dict.fromkeys((*ports, *REDIS[protocol]))) for protocol, ports in PORTS.items()}
"""The ports that servers listen at."""
TRIES = 3
"""A disagreement is one if it is there each time: on a busy machine packets may be late, and a SYN is sent again."""
OPEN = {"name": "open", "priority": 0, "allowed": "all"}

Counted = tuple[str, str, str]
"""Segment, chain and comment of an iptables rule."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A flow with the oracle's verdict."""

    flow: Flow
    verdict: Verdict
    routed: bool
    """Whether it has a way if no rule forbids it."""


def tried(case: Case) -> Iterator[str]:
    """Where oracle and packets disagree."""
    topology = case.parsed()
    running = case.running(topology)
    plan = compile_topology(topology, running)
    networks = topology.compute.networks
    allowed = tuple(Firewall.model_validate({**OPEN, "network": n.full_name}) for n in networks)
    nothing: dict[str, object] = {"network_firewall_policies": (), "region_network_firewall_policies": ()}
    compute = topology.compute.model_copy(update={"firewalls": allowed, **nothing})
    open_ = topology.model_copy(update={"compute": compute})
    judged = [
        Judged(flow, judge(topology, running, flow), judge(open_, running, flow).cause not in DEAD_ENDS)
        for flow in flows(topology, running)
    ]
    instances = {instance.name for instance in running.instances}
    servers = [node.name for node in plan.nodes if node.name not in instances]
    servers += [INTERNET, *(running.name(NameKey.edge(n.full_name)) for n in networks)]  # where Google's APIs are
    plan = with_tunnels(with_far_sides(plan, topology, running), topology, running)
    with spaces(*(space.name for space in plan.namespaces)) as paths:
        apply(plan, paths)
        segments = {running.name(NameKey.network(network.full_name)) for network in networks}
        before = counted(plan, paths, segments)
        probe = Probe.run(paths, servers, [one.flow for one in judged], LISTENED)
        moved = counted(plan, paths, segments) - before
    ambiguous = sum(one.verdict.ambiguous for one in judged)
    TALLY.update({proof.NETWORKS: 1, proof.AMBIGUOUS: ambiguous, proof.FLOWS: len(judged) - ambiguous})
    yield from disagreements(judged, probe)
    yield from miscounted(judged, moved)


def disagreements(judged: list[Judged], probe: Probe) -> Iterator[str]:
    """Flows that got an answer or not, or were seen from an address, against the verdict."""
    for number, one in enumerate(judged):
        if one.verdict.ambiguous:
            continue
        answered = number in probe.answered
        if answered != one.verdict.reachable:
            yield f"{one.flow}: {'answered' if answered else 'not answered'}, but {one.verdict}"
        elif answered and probe.seen.get(number) not in one.verdict.sources:
            yield f"{one.flow}: seen from {probe.seen.get(number)}, but {one.verdict}"


def miscounted(judged: list[Judged], moved: Counter[Counted]) -> Iterator[str]:
    """Rules whose counters moved by another number than that of the flows that they decide on."""
    sure, possible, tunnels = Counter[Counted](), Counter[Counted](), set[Counted]()
    for one in judged:
        possible.update(met for ruling in one.verdict.possible for met in (comment(ruling), *passed(ruling)))
        for ruling in (one.verdict.sender, one.verdict.receiver):
            if ruling is not None:
                certain = one.routed and one.verdict.cause not in DEAD_ENDS and not one.verdict.ambiguous
                for met in (comment(ruling), *passed(ruling)):
                    (sure if certain else possible)[met] += 1
        if (back := one.verdict.answer) is not None:  # counted once for each tunnel, or for each answer if it is denied
            possible.update((comment(back), *passed(back)))
        if one.verdict.tunnel is not None:
            tunnels |= {comment(one.verdict.tunnel), *passed(one.verdict.tunnel)}
    for rule in sure | possible | moved:
        if rule in tunnels:
            continue  # how many packets of a tunnel come before its first answer is a matter of luck
        low = sure[rule]
        high = low + possible[rule]
        if not low <= moved[rule] <= high:
            yield f"{rule}: counted {moved[rule]} connections, not {low} to {high}"
    yield from (f"{rule}: counted no tunnel" for rule in tunnels if not moved[rule])


def comment(ruling: Ruling) -> Counted:
    return vpc_segment(last(ruling.network)), ruling.direction.lower(), ruling.rule or IMPLIED[ruling.direction]


def passed(ruling: Ruling) -> Iterator[Counted]:
    """The rules of policies that handed the packet on before."""
    yield from ((vpc_segment(last(ruling.network)), ruling.direction.lower(), rule) for rule in ruling.passed)


def counted(plan: Plan, paths: Paths, segments: Collection[str]) -> Counter[Counted]:
    """What the firewalls of these segments have counted."""
    found = Counter[Counted]()
    for space in plan.namespaces:
        if space.name in segments:
            for rule in firewall.counters(paths[space.name]):
                if whole(rule.chain) in {"egress", "ingress"} and rule.comment:  # the others are questions
                    found[space.name, whole(rule.chain), rule.comment] += rule.packets
    return found


def with_far_sides(plan: Plan, topology: Topology, running: Running) -> Plan:
    """Every instance that forwards answers for whatever it is given, as if that were behind it."""
    forwarders = {
        running.name(NameKey.node(instance.full_name)): running.address(AddressKey.instance(instance.full_name))
        for instance in topology.compute.instances
        if instance.can_ip_forward
    }

    def with_far_side(space: Namespace) -> Namespace:
        if (address := forwarders.get(space.name)) is None:
            return space
        rule = f"! -d {address}/32 -i eth0 -j DNAT --to-destination {address}"
        return replace(space, tables=(*space.tables, Table("nat", (Chain("PREROUTING", "ACCEPT", (rule,)),))))

    return replace(plan, namespaces=tuple(map(with_far_side, plan.namespaces)))


def agree(case: Case) -> None:
    found = [*tried(case)]
    for _ in range(TRIES - 1):
        found = found and [*tried(case)]
    TALLY[proof.DISAGREEMENTS] += len(found)
    assert not found, "\n".join([f"{len(found)} disagreements", *found[:20], "---", case.text()])


@pytest.mark.behaviour(
    "2.1.1",
    "2.1.3",
    "2.2.2",
    "2.4.1",
    "2.5.1",
    "2.5.2",
    "2.5.3",
    "3.2.1",
    "3.3.1",
    "3.7",
    "4.1.4",
    "4.1.5",
    "4.1.6",
    "4.1.7",
    "4.1.8",
    "4.1.10",
    "4.1.11",
    "4.1.12",
    "4.1.13",
    "4.1.14",
    "4.1.16",
    "4.1.18",
    "4.3.2",
    "4.3.3",
    "4.3.4",
    "4.3.5",
    "4.3.7",
    "4.3.8",
    "4.3.9",
    "4.5.2",
    "4.5.3",
    "4.5.4",
    "4.5.6",
    "4.9.1",
    "4.9.3",
    "4.9.4",
    "4.9.5",
    "4.1.21",
    "4.10.4",
    "4.11.1",
    "4.13.1",
    "7.1.4",
    "7.1.6",
    "7.1.7",
)
@pytest.mark.sampled
@settings(max_examples=NETWORKS, database=None, phases=PHASES, suppress_health_check=[*HealthCheck])
@given(cases())
def test_the_oracle_and_the_packets_agree(case: Case) -> None:
    agree(case)


@pytest.mark.sampled
@settings(max_examples=TREES, database=None, phases=PHASES, suppress_health_check=[*HealthCheck])
@given(cases())
def test_they_agree_if_few_rules_are_a_decision_tree(case: Case) -> None:
    with patch.object(decision_tree, "LIMITS", Limits(flat=1, leaf=1, copies=20)):
        agree(case)


def test_they_agree_on_many_rules() -> None:
    """Three hundred rules for three instances: a decision tree of the size that users have."""
    chance = Random(4)  # noqa: S311 - the same ones each time
    rules = [
        {
            "name": f"r{number}",
            "network": "a",
            "priority": chance.choice((900, 950, 1000)),
            chance.choice(("allowed", "denied")): f"tcp:{chance.choice(PORTS['tcp'])},udp:{chance.randrange(60)}",
            "sourceRanges": [f"10.0.0.{chance.randrange(8)}/32", f"10.{chance.randrange(99)}.0.0/16"],
            **({"targetTags": [chance.choice(("web", "db"))]} if number % 2 else {}),
        }
        for number in range(300)
    ]
    instances = [
        {"name": f"a{number}", "networkInterfaces": [{"subnetwork": "a"}], "tags": {"items": tags}}
        for number, tags in enumerate((["web"], ["db"], ["web", "db"]))
    ]
    compute = {
        "networks": [{"name": "a"}],
        "subnetworks": [{"name": "a", "network": "a", "ipCidrRange": "10.0.0.0/24"}],
        "instances": instances,
        "firewalls": rules,
    }
    internet = {"hosts": [{"name": name, "address": address} for name, address in HOSTS.items()]}
    place = {"name": "t", "project": "p", "region": REGION, "zone": ZONE}
    agree(Case({**place, "compute": compute, "internet": internet}, []))


@pytest.mark.parametrize("file", sorted(KEPT.glob("*.yaml")), ids=lambda file: file.stem)
def test_what_disagreed_once_agrees(file: Path) -> None:
    agree(read(file.read_text()))
