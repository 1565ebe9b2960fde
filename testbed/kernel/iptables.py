"""iptables tables of the calling thread's namespace: read, replaced as a whole, counters kept.

One `COMMIT` of iptables-restore(8) is one transaction in the kernel: no packet ever sees half a table.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from testbed.errors import Internal
from testbed.fabric.plan import Chain, Table, whole
from testbed.kernel.command import CommandFailed, run

_RULE = re.compile(r"\[(?P<packets>\d+):(?P<bytes>\d+)\] -A (?P<chain>\S+) ?(?P<rule>.*)")
_CHAIN = re.compile(r":(?P<chain>\S+) (?P<policy>\S+) \[(?P<packets>\d+):(?P<bytes>\d+)\]")
_COMMENT = re.compile(r'--comment (?:"((?:[^"\\]|\\.)*)"|(\S+))')


@dataclass(frozen=True, slots=True)
class RuleCounter:
    """What one rule has counted since it was first installed."""

    table: str
    chain: str
    rule: str
    comment: str
    """The text of the rule's comment match; empty if it has none."""
    packets: int
    bytes: int


@dataclass(slots=True)
class Saved:
    """One table as `iptables-save -c` prints it."""

    name: str
    policies: dict[str, str] = field(default_factory=dict)
    """Chain to its policy; `-` for a chain that is not built in."""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Chain to packets and bytes that met its policy."""
    rules: list[RuleCounter] = field(default_factory=list)


Tables = Mapping[str, Saved]


def save() -> str:
    """All tables of the namespace with their counters."""
    return run(["iptables-save", "-c"])


def parse(text: str) -> Tables:
    """Reads the output of `iptables-save -c`."""
    tables: dict[str, Saved] = {}
    for section in re.split(r"^\*", text, flags=re.MULTILINE)[1:]:
        name, *lines = section.splitlines()
        saved = tables[name] = Saved(name)
        for line in lines:
            if found := _CHAIN.fullmatch(line):
                saved.policies[found["chain"]] = found["policy"]
                saved.counts[found["chain"]] = int(found["packets"]), int(found["bytes"])
            elif found := _RULE.fullmatch(line):
                counted = int(found["packets"]), int(found["bytes"])
                saved.rules.append(RuleCounter(name, found["chain"], found["rule"], _comment(found["rule"]), *counted))
    return tables


def _comment(rule: str) -> str:
    found = _COMMENT.search(rule)
    if found is None:
        return ""
    return re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]


def table(saved: Saved) -> Table:
    """The table without its counters."""
    rules = defaultdict[str, list[str]](list)
    for rule in saved.rules:
        rules[rule.chain].append(rule.rule)
    chains = (
        Chain(name, None if policy == "-" else policy, tuple(rules[name]))  # type: ignore[arg-type]
        for name, policy in saved.policies.items()
    )
    return Table(saved.name, tuple(chains))


def same(one: Table, other: Table) -> bool:
    """Do both let the same packets pass?  A built-in chain that accepts all is as good as none."""
    return _substance(one) == _substance(other)


def _substance(table: Table) -> frozenset[Chain]:
    return frozenset(chain for chain in table.chains if chain.rules or chain.policy != "ACCEPT")


def render(table: Table, saved: Saved | None = None) -> list[str]:
    """The lines for `iptables-restore --counters` that replace the table.

    Rules that stay (same text, in the same chain or in another part of it) keep the counters in `saved`: what all
    copies of one have counted together is the same afterwards.  Built-in chains of `saved` that the table does not name
    get the policy ACCEPT.
    """
    saved = saved or Saved(table.name)
    counters = _counters(table, saved)
    unnamed = saved.policies.keys() - {chain.name for chain in table.chains}
    # A chain that is not there costs nothing: one with the policy ACCEPT is only emptied, which needs no mention.
    refusing = (name for name in sorted(unnamed) if saved.policies[name] not in ("-", "ACCEPT"))
    chains = (*table.chains, *(Chain(name, "ACCEPT") for name in refusing))
    lines = [f"*{table.name}"]
    for chain in chains:
        packets, size = saved.counts.get(chain.name, (0, 0)) if chain.policy else (0, 0)
        lines.append(f":{chain.name} {chain.policy or '-'} [{packets}:{size}]")
    for chain in chains:
        for text in chain.rules:
            if "\n" in text:
                raise Internal(f"chain {chain.name}: one of its rules has a line break: {text!r}")
            packets, size = next(counters[whole(chain.name), text], (0, 0))
            counted = f"[{packets}:{size}] " if packets or size else ""
            lines.append(f"{counted}-A {chain.name} {text}")
    return [*lines, "COMMIT"]


def _counters(table: Table, saved: Saved) -> Mapping[tuple[str, str], Iterator[tuple[int, int]]]:
    """What each rule of the table is to begin with, copy by copy; if there are fewer now, the first has the rest."""
    left = Counter((whole(chain.name), text) for chain in table.chains for text in chain.rules)
    counted = defaultdict[tuple[str, str], list[tuple[int, int]]](list)
    for rule in saved.rules:
        counted[whole(rule.chain), rule.rule].append((rule.packets, rule.bytes))
    found = defaultdict[tuple[str, str], Iterator[tuple[int, int]]](lambda: iter(()))
    for key, old in counted.items():
        kept, rest = old[: left[key]], old[left[key] :]
        if kept:
            packets, size = zip(kept[0], *rest, strict=True)
            found[key] = iter([(sum(packets), sum(size)), *kept[1:]])
    return found


def restore(tables: Sequence[Table], saved: Tables) -> None:
    """Replaces tables, each atomically, and all or none of them.

    Raises:
        CommandFailed: a line was refused; the message shows it, and what is in the kernel is as it was in `saved`.
    """
    lines = [line for wanted in tables for line in render(wanted, saved.get(wanted.name))]
    try:
        _restore(lines)
    except CommandFailed as failure:
        _restore([line for wanted in tables for line in _previous(wanted.name, saved)])
        raise CommandFailed(f"iptables refused {_refused(lines, failure.stderr)}", failure.stderr) from failure


def _refused(lines: Sequence[str], stderr: str) -> str:
    """The offending line, its table and the reason; all that iptables says if it names no line."""
    said = " ".join(line for line in stderr.splitlines() if not line.startswith(("#", "Error occurred", "Try `")))
    found = re.search(r"line:? (\d+)", stderr)
    if not found:
        return said
    index = int(found[1]) - 1
    table = next(line[1:] for line in reversed(lines[: index + 1]) if line.startswith("*"))
    return f"`{lines[index]}` of table {table}: {said}"


def _previous(name: str, saved: Tables) -> list[str]:
    return render(table(saved[name]), saved[name]) if name in saved else render(Table(name, ()))


def _restore(lines: Iterable[str]) -> None:
    run(["iptables-restore", "--counters", "--wait", "5"], "\n".join(lines) + "\n")
