"""Arranges the lines of a long iptables chain as a decision tree, so that a packet meets few of them.

A chain is a list of *lines*; the first one that matches decides.  A long chain begins with a question instead, "is the
source in 10.16.0.0/12?", and hands the packets for which it is true over to another chain (`-g`), which has only the
lines that can match there; it goes on itself with those that can match otherwise.  Both are split further.  A line that
can match on both sides stands on both, so a *leaf* still has, in the old order, every line that can match a packet that
comes there: the first match is the same one, and it is met once.

Parts of the chain `ingress` are called `ingress/1`, `ingress/2`, ... (`plan.whole`); what a line has counted is the sum
over its copies.  What no packet can meet, because a line before it always matches or because its set is empty, stands
in `ingress/idle`, where nothing leads to: it keeps what it has counted.

Questions are chosen greedily.  Lines that ask for nothing that a question is about are copied, so their number is
bounded (`Limits.copies`), and where no question helps, the rest of the lines stay one list.
"""

from __future__ import annotations

import socket
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

from testbed.fabric.firewall import matches
from testbed.fabric.firewall.matches import Ports, Side
from testbed.fabric.plan import PART, Chain
from testbed.fabric.wiring import Space

Span = tuple[int, int]
"""The first value and the last."""
Mask = int
"""A set of pieces of an axis, with a bit for each."""
Region = tuple[Mask, Mask, Mask]
"""The packets that come to one place: theirs are the source, destination and service of one of these pieces."""

_SRC, _DST, _SERVICE = range(3)
_SIDES: tuple[Side, Side] = ("src", "dst")
_LAST_ADDRESS = (1 << 32) - 1
_PORTS = 1 << 16
_LAST_SERVICE = 256 * _PORTS - 1
_PIECES = 1 << 14
"""Pieces of one axis; sets that would make more of them are rounded up to those that there are."""
_SAMPLE = 64
"""Lines by which questions are compared."""
_HALVES = 0.7
"""The score of a question that is good enough to look for no other."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and what it matches: packets of which all of this is true."""

    text: str
    sources: tuple[frozenset[str], ...] = ()
    """Sets of ranges or addresses: the source is in each of them."""
    destinations: tuple[frozenset[str], ...] = ()
    protocol: int | None = None
    ports: tuple[Ports, ...] = ()
    """Destination ports; all, if there are none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The form of a tree."""

    flat: int = 128
    """So many lines are better left as they are."""
    leaf: int = 16
    """Lines that need no further question."""
    copies: int = 3
    """How many times as many lines there may be at most."""
    depth: int = 12
    """Questions in succession that are true: the kernel follows at most 16 jumps, other chains included."""


LIMITS = Limits()


def arrange(
    name: str, lines: Sequence[Line], space: Space, limits: Limits | None = None, *, jumps: int = 0
) -> tuple[Chain, ...]:
    """The chain of this name, and its parts.  Sets that questions are about are declared in the space.

    `jumps` are the jumps to it, in addition to the one to every chain of rules.
    """
    limits = replace(limits or LIMITS, depth=(limits or LIMITS).depth - jumps)
    if len(lines) <= limits.flat:
        return (Chain(name, None, tuple(line.text for line in lines)),)
    return _Tree(name, lines, space, limits).chains()


class _Axis:
    """One property of packets, cut into pieces at the ends of what lines ask for."""

    def __init__(self, last: int, asked: Iterable[frozenset[Span]]) -> None:
        cuts = {0}
        for spans in sorted(asked, key=len):
            if len(cuts) + 2 * len(spans) <= _PIECES:
                cuts.update(first for first, _ in spans)
                cuts.update(after + 1 for _, after in spans if after < last)
        self.first = sorted(cuts)
        self.last = [*(start - 1 for start in self.first[1:]), last]
        self.all: Mask = (1 << len(self.first)) - 1
        self._masks = dict[frozenset[Span], tuple[Mask, bool]]()

    def mask(self, spans: frozenset[Span]) -> tuple[Mask, bool]:
        """The pieces that a set touches, and whether these are the set."""
        if spans not in self._masks:
            self._masks[spans] = self._mask(spans)
        return self._masks[spans]

    def _mask(self, spans: Iterable[Span]) -> tuple[Mask, bool]:
        mask, exact = 0, True
        for low, high in spans:
            start, end = bisect_right(self.first, low) - 1, bisect_left(self.last, high)
            mask |= (2 << end) - (1 << start)
            exact = exact and self.first[start] == low and self.last[end] == high
        return mask, exact

    def within(self, low: int, high: int) -> Mask:
        """The pieces that lie wholly in a span."""
        start, end = bisect_left(self.first, low), bisect_right(self.last, high)
        return (1 << end) - (1 << start) if end > start else 0

    def hull(self, mask: Mask) -> Span:
        """The first and the last value of a set that is not empty."""
        return self.first[(mask & -mask).bit_length() - 1], self.last[mask.bit_length() - 1]


class _Question(NamedTuple):
    """Something that is true of some packets: a match, or a set of ranges that one has to be made of."""

    axis: int
    true: Mask
    """Pieces in which it can be true."""
    false: Mask
    """Pieces in which it can be false."""
    match: str = ""
    members: frozenset[str] = frozenset()


class _Split(NamedTuple):
    question: _Question
    true: list[int]
    """The lines that can match where the answer is yes."""
    false: list[int]


@dataclass(slots=True)
class _Asked:
    """What all lines ask of one axis."""

    axis: _Axis
    masks: list[Mask]
    exact: list[bool]
    """Whether a line matches all of its pieces, and no others."""
    sets: list[frozenset[str] | None]
    """A set that each line asks for, if it is one that a question can be about."""


@dataclass(slots=True)
class _Tree:
    name: str
    lines: Sequence[Line]
    space: Space
    limits: Limits
    asked: list[_Asked] = field(init=False)
    parts: list[Chain] = field(default_factory=list)
    reached: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.asked = [
            _addresses([line.sources for line in self.lines]),
            _addresses([line.destinations for line in self.lines]),
            _services(self.lines),
        ]

    def chains(self) -> tuple[Chain, ...]:
        """The chain and its parts."""
        everything = (self.asked[0].axis.all, self.asked[1].axis.all, self.asked[2].axis.all)
        possible = [n for n in range(len(self.lines)) if all(asked.masks[n] for asked in self.asked)]
        budget = self.limits.copies * len(self.lines)
        rules = self._rules(self._until_certain(possible, everything), everything, budget, 0)
        idle = tuple(line.text for number, line in enumerate(self.lines) if number not in self.reached)
        rest = (Chain(f"{self.name}{PART}idle", None, idle),) if idle else ()
        return (Chain(self.name, None, tuple(rules)), *self.parts, *rest)

    def _rules(self, inside: list[int], region: Region, budget: int, depth: int) -> list[str]:
        """What one chain consists of, if packets of a region come there, which these lines can match.

        The budget is the number of lines that it and its parts may have.
        """
        rules: list[str] = []
        while len(inside) > self.limits.leaf and depth < self.limits.depth:
            split = self._split(inside, region, budget)
            if split is None:
                shorter = self._without_repetitions(inside, region)
                if len(shorter) == len(inside):
                    break
                inside = shorter
                continue
            question, true, false = split
            share = budget * len(true) // (len(true) + len(false))
            part = self._part(true, _narrowed(region, question.axis, question.true), share, depth + 1)
            rules.append(f"{self._match(question)} -g {part}")
            inside, region, budget = false, _narrowed(region, question.axis, question.false), budget - share
        self.reached.update(inside)
        return [*rules, *(self.lines[number].text for number in inside)]

    def _part(self, inside: list[int], region: Region, budget: int, depth: int) -> str:
        """Make a part of the chain; its name."""
        name = f"{self.name}{PART}{len(self.parts) + 1}"
        place = len(self.parts)
        self.parts.append(Chain(name, None))
        self.parts[place] = Chain(name, None, tuple(self._rules(inside, region, budget, depth)))
        return name

    def _match(self, question: _Question) -> str:
        if question.match:
            return question.match
        return matches.ranges(question.members, _SIDES[question.axis], self.space)

    # -- choosing a question --------------------------------------------------------------------------------------

    def _split(self, inside: list[int], region: Region, budget: int) -> _Split | None:
        """The lines of a region by the best question; None if it would not be worth its cost."""
        sample = inside[:: -(-len(inside) // _SAMPLE)]
        scored = [(self._score(question, sample, region), question) for question in self._simple(sample, region)]
        if not scored or min(score for score, _ in scored) > _HALVES:
            scored += [(self._score(question, sample, region), question) for question in self._unions(inside, region)]
        most = len(inside) - max(4, len(inside) // 10)
        for _, question in sorted(scored):
            true = self._can_match(inside, region, question.axis, question.true)
            false = self._can_match(inside, region, question.axis, question.false)
            if max(len(true), len(false)) <= most and len(true) + len(false) <= budget:
                return _Split(question, true, false)
        return None

    def _score(self, question: _Question, sample: list[int], region: Region) -> float:
        """The share of lines on the larger side, and something for each copy: the less the better."""
        masks = self.asked[question.axis].masks
        true, false = region[question.axis] & question.true, region[question.axis] & question.false
        trues = sum(1 for number in sample if masks[number] & true)
        falses = sum(1 for number in sample if masks[number] & false)
        return (max(trues, falses) + 0.3 * (trues + falses - len(sample))) / len(sample)

    def _can_match(self, inside: list[int], region: Region, axis: int, answer: Mask) -> list[int]:
        """The lines that can match in the part of the region where the answer is such."""
        masks, left = self.asked[axis].masks, region[axis] & answer
        return self._until_certain([n for n in inside if masks[n] & left], _narrowed(region, axis, answer))

    def _until_certain(self, inside: list[int], region: Region) -> list[int]:
        """The lines up to the first one that matches all of the region."""
        src, dst, service = (asked.masks for asked in self.asked)
        for place, n in enumerate(inside):
            if (
                src[n] & region[0] == region[0]
                and dst[n] & region[1] == region[1]
                and service[n] & region[2] == region[2]
                and all(asked.exact[n] for asked in self.asked)
            ):
                return inside[: place + 1]
        return inside

    def _without_repetitions(self, inside: list[int], region: Region) -> list[int]:
        """The lines without those that match the same of the region as one before."""
        met, kept = set[tuple[Mask, ...]](), list[int]()
        for number in inside:
            matched = tuple(asked.masks[number] & here for asked, here in zip(self.asked, region, strict=True))
            if matched not in met:
                kept.append(number)
            if all(asked.exact[number] for asked in self.asked):
                met.add(matched)
        return kept

    def _simple(self, sample: list[int], region: Region) -> Iterator[_Question]:
        """Questions that need no set: one for each side, and some for the service."""
        for axis in (_SRC, _DST):
            if hulls := self._hulls(sample, region, axis):
                yield from self._prefix(axis, hulls)
        if hulls := self._hulls(sample, region, _SERVICE):
            yield from self._service(hulls)

    def _hulls(self, sample: list[int], region: Region, axis: int) -> list[Span]:
        """From where to where lines reach in the region; those that ask for nothing there are left out."""
        asked, here = self.asked[axis], region[axis]
        found = (asked.masks[number] & here for number in sample)
        return [asked.axis.hull(mask) for mask in found if mask != here]

    def _prefix(self, axis: int, hulls: list[Span]) -> Iterator[_Question]:
        """The range that halves these best, of those around the middle one and their other halves."""
        lows, highs = sorted(low for low, _ in hulls), sorted(high for _, high in hulls)
        count, middle = len(hulls), lows[len(lows) // 2]
        best: tuple[float, int, int] | None = None
        for length in range(33 - (lows[0] ^ highs[-1]).bit_length(), 33):
            size = 1 << (32 - length)
            for low in {middle & -size, (middle & -size) ^ size}:
                high = low + size - 1
                before, after = bisect_left(highs, low), count - bisect_right(lows, high)
                outside = count - min(bisect_left(lows, low) + count - bisect_right(highs, high), count)
                true, false = count - before - after, count - outside
                score = max(true, false) + 0.3 * (true + false - count)
                best = min(best or (score, low, length), (score, low, length))
        if best:
            _, low, length = best
            cuts = self.asked[axis].axis
            span = low, low + (1 << (32 - length)) - 1
            true, _ = cuts.mask(frozenset({span}))
            cidr = f"{_dotted(low)}/{length}"
            yield _Question(axis, true, cuts.all & ~cuts.within(*span), matches.prefix(cidr, _SIDES[axis]))

    def _service(self, hulls: list[Span]) -> Iterator[_Question]:
        """Whether it is the commonest protocol, and the port at most that of the middle line."""
        cuts = self.asked[_SERVICE].axis
        by_protocol = dict[int, list[Span]]()
        for low, high in hulls:
            if low // _PORTS == high // _PORTS:
                by_protocol.setdefault(low // _PORTS, []).append((low, high))
        if not by_protocol:
            return
        number, common = max(by_protocol.items(), key=lambda item: (len(item[1]), item[0]))
        base = number * _PORTS
        limits = {base + _PORTS - 1}
        middle = len(common) // 2
        limits |= {sorted(low for low, _ in common)[middle] - 1, sorted(high for _, high in common)[middle]}
        for last in sorted(limits):
            if last >= base:
                true, _ = cuts.mask(frozenset({(base, last)}))
                port = [] if last == base + _PORTS - 1 else [matches.ports([(0, last - base)])]
                false = cuts.all & ~cuts.within(base, last)
                yield _Question(_SERVICE, true, false, " ".join([matches.protocol(number), *port]))

    def _unions(self, inside: list[int], region: Region) -> Iterator[_Question]:
        """Whether the address is in one of the sets that half of the lines ask for."""
        for axis in (_SRC, _DST):
            asked, here = self.asked[axis], region[axis]
            weights = dict[frozenset[str], int]()
            for number in inside:
                members = asked.sets[number]
                if members is not None and asked.masks[number] & here != here:
                    weights[members] = weights.get(members, 0) + 1
            masks = {members: asked.axis.mask(_spans(members))[0] for members in weights}
            half, union, true = sum(weights.values()) // 2, set[str](), 0
            for members in sorted(weights, key=lambda one: (masks[one] & here & -(masks[one] & here), len(one))):
                union |= members
                true |= masks[members]
                half -= weights[members]
                if half <= 0:
                    break
            if union:
                yield _Question(axis, true, asked.axis.all & ~true, "", frozenset(union))


def _narrowed(region: Region, axis: int, mask: Mask) -> Region:
    src, dst, service = (old & mask if number == axis else old for number, old in enumerate(region))
    return src, dst, service


def _addresses(sides: Sequence[tuple[frozenset[str], ...]]) -> _Asked:
    axis = _Axis(_LAST_ADDRESS, {_spans(members) for sets in sides for members in sets})
    masks, exact, usable = [], [], list[frozenset[str] | None]()
    for sets in sides:
        found = [(members, *axis.mask(_spans(members))) for members in sets]
        mask = axis.all
        for _, one, _ in found:
            mask &= one
        masks.append(mask)
        exact.append(all(is_exact for _, _, is_exact in found))
        usable.append(next((members for members, _, is_exact in found if is_exact and members), None))
    return _Asked(axis, masks, exact, usable)


def _services(lines: Sequence[Line]) -> _Asked:
    wanted = [_service_spans(line) for line in lines]
    axis = _Axis(_LAST_SERVICE, {frozenset(spans) for spans in wanted})
    found = [axis.mask(frozenset(spans)) for spans in wanted]
    return _Asked(axis, [mask for mask, _ in found], [exact for _, exact in found], [None] * len(lines))


def _service_spans(line: Line) -> list[Span]:
    """Protocol and port as one number."""
    if line.protocol is None:
        return [(0, _LAST_SERVICE)]
    base = line.protocol * _PORTS
    return [(base + first, base + last) for first, last in line.ports or ((0, _PORTS - 1),)]


@cache
def _span(cidr: str) -> Span:
    address, _, length = cidr.partition("/")
    low = int.from_bytes(socket.inet_aton(address))
    return low, low + (1 << (32 - int(length or 32))) - 1


def _spans(members: frozenset[str]) -> frozenset[Span]:
    return frozenset(map(_span, members))


def _dotted(address: int) -> str:
    return socket.inet_ntoa(address.to_bytes(4))
