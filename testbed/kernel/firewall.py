"""The ipsets and iptables tables of one namespace, changed together: sets first, then the rules that refer to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from testbed.fabric.plan import IpSet, Namespace, Table
from testbed.kernel import ipset, iptables
from testbed.kernel.change import KernelChange
from testbed.kernel.command import CommandFailed
from testbed.kernel.namespace import inside


@dataclass(frozen=True, slots=True)
class FirewallState:
    """What one namespace has."""

    sets: frozenset[IpSet] = frozenset()
    tables: iptables.Tables = field(default_factory=dict)


def read(namespace: Namespace, sets: frozenset[IpSet] | None = None) -> FirewallState:
    """Reads the namespace of the calling thread; `sets` are those that it is known to have.

    In a node's namespace only the tables that the plan has are looked at: programs of the node may have others.
    """
    if namespace.node and not namespace.tables and not namespace.sets:
        return FirewallState()
    tables = iptables.parse(iptables.save())
    if namespace.node:
        ours = {table.name for table in namespace.tables}
        tables = {name: saved for name, saved in tables.items() if name in ours}
    return FirewallState(ipset.parse(ipset.save()) if sets is None else sets, tables)


class Update:
    """What has to be done to the firewall of one namespace."""

    def __init__(self, namespace: Namespace, actual: FirewallState) -> None:
        self._actual = actual
        there = {one.name: one for one in actual.sets}
        self._sets = [(one, there.get(one.name)) for one in _by_name(namespace.sets - actual.sets)]
        self._stale = sorted(there.keys() - {one.name for one in namespace.sets})
        self._tables = [*_differing(namespace.tables, actual.tables)]
        self.changes = [*self._changes(namespace.name)]

    def _changes(self, namespace: str) -> list[KernelChange]:
        return [
            *(
                KernelChange(namespace, "replace" if old else "add", "set", f"{new.name} ({len(new.members)} members)")
                for new, old in self._sets
            ),
            *(KernelChange(namespace, "replace", "table", _summary(new, old)) for new, old in self._tables),
            *(KernelChange(namespace, "delete", "set", name) for name in self._stale),
        ]

    def make(self) -> None:
        """Does it in the namespace of the calling thread: all of it, or (CommandFailed) nothing."""
        tables = [new for new, _ in self._tables]
        try:
            if self._sets:
                ipset.restore([line for new, old in self._sets for line in ipset.script(new, old)])
            if tables:
                iptables.restore(tables, self._actual.tables)
        except CommandFailed:
            there = {one.name for one in ipset.parse(ipset.save())}
            ipset.destroy(there & {new.name for new, old in self._sets if old is None})
            raise
        ipset.destroy(self._stale)


def counters(path: str) -> list[iptables.RuleCounter]:
    """What each rule in the namespace at `path` has counted, in order of evaluation within each chain."""
    tables = inside(path, lambda: iptables.parse(iptables.save()))
    return [rule for saved in tables.values() for rule in saved.rules]


def members(path: str, name: str) -> dict[str, ipset.Hits]:
    """What each member of a set with counters has counted; empty if there is no such set."""
    return ipset.hits(inside(path, ipset.save), name)


def _by_name(sets: frozenset[IpSet]) -> list[IpSet]:
    return sorted(sets, key=lambda one: one.name)


def _differing(wanted: tuple[Table, ...], saved: iptables.Tables) -> list[tuple[Table, Table]]:
    """Wanted and actual table where they differ; a table that is not in the plan is wanted empty."""
    want: Mapping[str, Table] = {table.name: table for table in wanted}
    pairs = []
    for name in sorted(want.keys() | saved.keys()):
        new = want.get(name, Table(name, ()))
        old = iptables.table(saved[name]) if name in saved else Table(name, ())
        if not iptables.same(new, old):
            pairs.append((new, old))
    return pairs


def _summary(new: Table, old: Table) -> str:
    wanted = Counter((chain.name, rule) for chain in new.chains for rule in chain.rules)
    actual = Counter((chain.name, rule) for chain in old.chains for rule in chain.rules)
    return f"{new.name} (+{(wanted - actual).total()} -{(actual - wanted).total()} rules)"
