"""What was dropped, and why: the counters of the kernel's rules and queues that drop packets, with their causes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from testbed.control.facts.limits import rate_drops
from testbed.control.state.store import Store
from testbed.errors import NotFound
from testbed.fabric.compiler import compile_topology
from testbed.fabric.firewall.chains import EGRESS, INGRESS
from testbed.json_object import Json
from testbed.kernel import namespace
from testbed.kernel.firewall import counters
from testbed.kernel.iptables import RuleCounter
from testbed.model.drop_causes import CONNECTOR_RATE, DENIED, IMPLIED_DENY_INGRESS, DropCause, cause_of
from testbed.model.topology import Topology

_DROPS = "-j DROP"


def drop_rows(store: Store, topology: Topology) -> Iterator[Json]:
    """Each rule that has dropped packets: where, by which cause, how many, and what lets them pass."""
    plan, processes = compile_topology(topology, store.running), store.nodes.processes()
    for space in plan.namespaces:
        if not space.tables or (space.node and space.name not in processes):
            continue
        with suppress(NotFound):  # it is being made, or has ended
            path = namespace.of(plan.testbed, space, processes)
            found = [(rule.comment, rule.packets, cause) for rule, cause in dropping(counters(path))]
            if space.qdiscs:
                found += [(rule, packets, CONNECTOR_RATE) for rule, packets in rate_drops(path).items() if packets]
            yield from (
                {
                    "place": space.name,
                    "rule": rule,
                    "packets": packets,
                    "cause": cause.google,
                    "text": cause.text,
                    "remedy": cause.remedy,
                }
                for rule, packets, cause in found
            )


def dropping(rules: Sequence[RuleCounter]) -> Iterator[tuple[RuleCounter, DropCause]]:
    """The rules that have dropped packets, with their causes."""
    denying = {rule.chain for rule in rules if rule.rule == _DROPS}  # where rules that are logged lead to
    for rule in rules:
        target = rule.rule.rpartition("-g ")[2]
        if rule.packets and rule.comment and (rule.rule.endswith(_DROPS) or target in denying):
            yield rule, _cause(rule)


def _cause(rule: RuleCounter) -> DropCause:
    """The cause of a rule that drops; a user's rule may be called like one."""
    if rule.chain.partition("/")[0] in (EGRESS, INGRESS) and rule.comment != IMPLIED_DENY_INGRESS.id:
        return DENIED
    return cause_of(rule.comment) or DENIED
