"""Compiles the capacity of a connector instance: token buckets for packets, and rules for connections.

Each direction has a bucket of its own, so that one does not slow down the other.  Towards the runtimes all packets of
the tunnel device pass it.  Towards the network it is a class of `eth0`: what goes there through the tunnel has passed
its bucket, and answers to health checks are not held up.

A bucket that limits packets has a smallest packet unit.  So bytes and packets are one budget: a packet takes at least
the tokens of the mean packet with which both limits are reached.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.fabric.dropping import drop
from testbed.fabric.plan import GSO_MAX_SEGS, Chain, Htb, HtbClass, Tbf, TokenBucket, class_id
from testbed.fabric.wiring import Space
from testbed.model.drop_causes import CONNECTOR_CONNECTIONS, CONNECTOR_NEW_CONNECTIONS
from testbed.model.serverless.capacity import Limits

LARGEST = 1460
"""Bytes of the largest inner packet (behaviour 2.6.4)."""
_ETHERNET = 14
"""Bytes that a packet has on `eth0` besides.  A bucket there is as much larger: exact for packets of full size."""
WAIT = 0.05
"""Seconds that packets of full size wait at most.  It is our choice: enough for TCP to keep a bucket busy over paths of
50 ms, and too little for time-outs of a second.  Smaller packets wait for longer where packets are limited."""
_LEAST_QUEUE = 256 << 10
"""Bytes: several packets that are cut only behind the device fit, however slow it is."""
_LEAST_BURST = 64 << 10
_BURST_TIME = 0.00125
"""Seconds of tokens that are kept: a busy processor lets a timer wait for about as long."""
_KIBIBYTE = 1024
_MEGABIT = 125_000
"""Bytes."""
_TO_NETWORK = 1
"""The class of `eth0`."""
_CHAIN = "connections"
_LIST = 512
"""Connections in one list.  The kernel walks through a list for each new connection, so there are several lists."""
_HASHLIMIT_SCALE = 1_000_000
"""The kernel keeps the time between two tokens in microseconds (XT_HASHLIMIT_SCALE_v2)."""
_LEAST_CONNECTIONS = 10
"""New connections that may come at once, however few a second."""


def bucket(limits: Limits, header: int = 0) -> TokenBucket | None:
    """The bucket of one direction, for packets that have a header of so many bytes besides; None for no limit."""
    if limits.megabits_per_second is None and limits.packets_per_second is None:
        return None
    packets, most = limits.packets_per_second, LARGEST + header
    rates = [
        *([limits.megabits_per_second * _MEGABIT] if limits.megabits_per_second is not None else []),
        *([packets * LARGEST] if packets is not None else []),
    ]
    rate = round(min(rates) * most / LARGEST)
    mpu = 0 if packets is None else min(most, -(-rate // packets))
    burst, peak = max(_LEAST_BURST, round(rate * _BURST_TIME)), None
    if limits.burst is not None:
        peak = round(limits.burst.megabits_per_second * _MEGABIT * most / LARGEST)
        burst = (peak - rate) * limits.burst.seconds
    return TokenBucket(rate, -(-burst // _KIBIBYTE) * _KIBIBYTE, mpu, peak)


def segments(limits: Limits) -> int:
    """How many segments a packet may have that comes to an instance: each counts where packets are limited."""
    return GSO_MAX_SEGS if limits.packets_per_second is None else 1


def shape(node: Space, limits: Limits, to_runtimes: str) -> None:
    """Give an instance its buckets; `to_runtimes` is the device by which it sends to runtimes."""
    if (inner := bucket(limits)) is not None:
        node.qdiscs.add(Tbf(to_runtimes, inner, _queue(inner)))
    if (outer := bucket(limits, _ETHERNET)) is not None:
        node.qdiscs.add(Htb("eth0", frozenset({HtbClass(_TO_NETWORK, outer, _queue(outer))})))


def _queue(of: TokenBucket) -> int:
    return max(_LEAST_QUEUE, round(of.rate * WAIT))


def classified(limits: Limits, from_runtimes: str) -> Iterator[str]:
    """The rule that gives a class to what goes from runtimes into the network; it comes before all others."""
    if bucket(limits) is not None:
        yield f"-i {from_runtimes} -o eth0 -j CLASSIFY --set-class {class_id(_TO_NETWORK)}"


def counted(limits: Limits, from_runtimes: str) -> Iterator[str]:
    """The rule that has the first packet of each connection pass the limits of connections."""
    if limits.new_connections_per_second or limits.connections:
        yield f"-i {from_runtimes} -o eth0 -m conntrack ! --ctstatus CONFIRMED -j {_CHAIN}"


def chains(limits: Limits) -> Iterator[Chain]:
    """The chains that `counted` sends packets through.

    The lists of connections take turns, so that each has its share of all.
    """
    rules = []
    if limits.new_connections_per_second is not None:
        rate = _HASHLIMIT_SCALE // (_HASHLIMIT_SCALE // limits.new_connections_per_second)  # as iptables-save prints it
        rules.append(
            f"-m hashlimit --hashlimit-above {rate}/sec --hashlimit-burst {max(rate, _LEAST_CONNECTIONS)}"
            f" --hashlimit-name new-{rate} {drop(CONNECTOR_NEW_CONNECTIONS)}"
        )
    lists = [*_lists(limits.connections or 0)]
    for number, _ in enumerate(lists):
        turn = len(lists) - number
        nth = f"-m statistic --mode nth --every {turn} --packet 0 " if turn > 1 else ""
        rules.append(f"{nth}-g {_CHAIN}-{number}")
    if rules:
        yield Chain(_CHAIN, None, tuple(rules))
    for number, size in enumerate(lists):
        match = f"-m connlimit --connlimit-above {size} --connlimit-mask 0 --connlimit-saddr"
        yield Chain(f"{_CHAIN}-{number}", None, (f"{match} {drop(CONNECTOR_CONNECTIONS)}",))


def _lists(connections: int) -> Iterator[int]:
    """The sizes of lists that have room for so many connections together."""
    count = -(-connections // _LIST)
    for number in range(count):
        yield connections // count + (number < connections % count)
