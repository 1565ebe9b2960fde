"""Queueing disciplines and classes in rtnetlink's words: what is there, and requests for more.

Numbers and layouts are those of linux/pkt_sched.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from testbed.fabric.plan import QDISC, Htb, HtbClass, Qdisc, Tbf, TokenBucket
from testbed.kernel import attributes
from testbed.kernel.change import NetlinkRequest
from testbed.kernel.dump import Dump, Message

PEAK_BURST = 64 << 10
"""Bytes that may leave at once where a peak rate is given: no packet is larger."""
_ROOT = 0xFFFFFFFF  # TC_H_ROOT
_MINE = QDISC << 16
"""The handle of a discipline of ours; the lower half is the number of a class."""
_RATE = struct.Struct("BBHhHI")  # struct tc_ratespec
_ETHERNET = 1  # TC_LINKLAYER_ETHERNET: without it the kernel wants a table of times besides
_LIMITS = struct.Struct("III")  # of struct tc_tbf_qopt: limit, buffer, mtu
_GLOBAL = struct.Struct("IIIII")  # struct tc_htb_glob
_HTB_VERSION, _RATE_TO_QUANTUM = 3, 10
_CLASS = struct.Struct("IIIII")  # of struct tc_htb_opt: buffer, cbuffer, quantum, level, prio
_QUANTUM = 64 << 10
"""Bytes that a class may send in its turn; it has an effect where classes share what others leave."""
_QUEUE = "bfifo"
_FIFO = struct.Struct("I")  # struct tc_fifo_qopt
_STATISTICS = struct.Struct("IIIII")  # struct gnet_stats_queue
_TBF_PARMS, _TBF_BURST, _TBF_PBURST = 1, 6, 7
_HTB_PARMS, _HTB_INIT = 1, 2
_STATS_QUEUE = 3
_TICK = 64e-9
"""Seconds: the kernel keeps bursts as times, in units of 2^6 ns (net/pkt_sched.h)."""
_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Foreign:
    """A queueing discipline that somebody else has given a device, or one of ours with other options."""

    device: str
    kind: str
    ours: bool


# -- requests ---------------------------------------------------------------------------------------------------------


def tbf(wanted: Tbf) -> NetlinkRequest:
    """Makes a device pass its bucket; its queue keeps what waits there."""
    bucket = wanted.bucket
    peak = _rate(bucket.peak, bucket.mpu) if bucket.peak else bytes(_RATE.size)
    parameters = _rate(bucket.rate, bucket.mpu) + peak + _LIMITS.pack(wanted.queue, 0, 0)
    options = attributes.pack(_TBF_PARMS, parameters) + attributes.pack(_TBF_BURST, struct.pack("I", bucket.burst))
    if bucket.peak:
        options += attributes.pack(_TBF_PBURST, struct.pack("I", PEAK_BURST))
    return _request(wanted.device, "tbf", (_MINE, _ROOT), options)


def htb(device: str) -> NetlinkRequest:
    """Lets a device have classes."""
    options = attributes.pack(_HTB_INIT, _GLOBAL.pack(_HTB_VERSION, _RATE_TO_QUANTUM, 0, 0, 0))
    return _request(device, "htb", (_MINE, _ROOT), options)


def htb_class(device: str, wanted: HtbClass) -> NetlinkRequest:
    """Makes a class of a device, or changes it."""
    bucket = wanted.bucket
    ceiling, depth = (bucket.peak, PEAK_BURST) if bucket.peak else (bucket.rate, bucket.burst)
    times = _ticks(bucket.burst, bucket.rate), _ticks(depth, ceiling)
    parameters = _rate(bucket.rate, bucket.mpu) + _rate(ceiling, bucket.mpu) + _CLASS.pack(*times, _QUANTUM, 0, 0)
    options = attributes.pack(_HTB_PARMS, parameters)
    request = _request(device, "htb", (_MINE | wanted.minor, _MINE), options)
    return replace(request, subject="tclass")


def queue(device: str, minor: int, limit: int) -> NetlinkRequest:
    """Gives a class its queue, of so many bytes; a token bucket filter has the class 1."""
    return _request(device, _QUEUE, (QDISC + minor << 16, _MINE | minor), _FIFO.pack(limit))


def removal(device: str) -> NetlinkRequest:
    """Gives a device back what the kernel has for it."""
    return NetlinkRequest("qdisc", "delete", {"index": device, "parent": _ROOT})


def class_removal(device: str, minor: int) -> NetlinkRequest:
    """Removes a class with its queue."""
    return NetlinkRequest("tclass", "delete", {"index": device, "handle": _MINE | minor, "parent": _MINE})


def _request(device: str, kind: str, at: tuple[int, int], options: bytes) -> NetlinkRequest:
    """What makes a discipline; `at` has its own number, and that of what it is in."""
    handle, parent = at
    values = {"index": device, "kind": kind, "handle": handle, "parent": parent, "options": options}
    return NetlinkRequest("qdisc", "replace", values)


def _rate(rate: int, mpu: int) -> bytes:
    return _RATE.pack(0, _ETHERNET, 0, 0, mpu, rate)


def _ticks(size: int, rate: int) -> int:
    """The time that so many bytes take."""
    return round(size / rate / _TICK)


# -- what is there ----------------------------------------------------------------------------------------------------


def parse(dump: Dump) -> frozenset[Qdisc | Foreign]:
    """What devices have that is not the kernel's own choice."""
    found = _Found(dump)
    return frozenset(found.of(message) for message in dump.qdiscs if message["parent"] == _ROOT and message["handle"])


def drops(dump: Dump) -> Mapping[tuple[str, int], int]:
    """How many packets each queue of ours has dropped, by device and class."""
    devices = {link["index"]: link.get("ifname") for link in dump.links}
    return {
        (devices[message["index"]], message["parent"] & 0xFFFF): _dropped(message)
        for message in dump.qdiscs
        if message["parent"] >> 16 == QDISC
    }


def _dropped(message: Message) -> int:
    _, _, dropped, _, _ = _STATISTICS.unpack_from(dict(attributes.unpack(message.get("stats2")))[_STATS_QUEUE])
    return int(dropped)


class _Found:
    """The values of a dump's messages."""

    def __init__(self, dump: Dump) -> None:
        self._devices = {link["index"]: link.get("ifname") for link in dump.links}
        self._inner = {(one["index"], one["parent"]): one for one in dump.qdiscs if one["parent"] != _ROOT}
        self._classes = dump.classes

    def of(self, root: Message) -> Qdisc | Foreign:
        """What a device has."""
        device, kind, ours = self._devices.get(root["index"], ""), root.get("kind"), root["handle"] == _MINE
        found: Qdisc | None = None
        if ours and kind == "tbf":
            found = self._tbf(device, root)
        elif ours and kind == "htb":
            found = self._htb(device, root)
        return found or Foreign(device, kind, ours)

    def _tbf(self, device: str, root: Message) -> Tbf | None:
        queue = self._queue(root["index"], 1)
        parameters = dict(attributes.unpack(root.get("options"))).get(_TBF_PARMS)
        if queue is None or parameters is None:
            return None
        peak = _RATE.unpack_from(parameters, _RATE.size)[-1]
        _, buffer, _ = _LIMITS.unpack_from(parameters, 2 * _RATE.size)
        return Tbf(device, _bucket(parameters, buffer, peak or None), queue)

    def _htb(self, device: str, root: Message) -> Htb | None:
        mine = [one for one in self._classes if one["index"] == root["index"]]
        classes = [self._class(one) for one in mine]
        known = frozenset(one for one in classes if one is not None)
        return Htb(device, known) if len(known) == len(mine) else None

    def _class(self, message: Message) -> HtbClass | None:
        minor = message["handle"] & 0xFFFF
        queue = self._queue(message["index"], minor)
        parameters = dict(attributes.unpack(message.get("options"))).get(_HTB_PARMS)
        if queue is None or parameters is None:
            return None
        rate, ceiling = (_RATE.unpack_from(parameters, offset)[-1] for offset in (0, _RATE.size))
        buffer, *_ = _CLASS.unpack_from(parameters, 2 * _RATE.size)
        return HtbClass(minor, _bucket(parameters, buffer, None if ceiling == rate else ceiling), queue)

    def _queue(self, index: int, minor: int) -> int | None:
        message = self._inner.get((index, _MINE | minor))
        if message is None or message.get("kind") != _QUEUE:
            return None
        (limit,) = _FIFO.unpack_from(message.get("options"))
        return int(limit)


def _bucket(parameters: bytes, buffer: int, peak: int | None) -> TokenBucket:
    *_, mpu, rate = _RATE.unpack_from(parameters)
    return TokenBucket(rate, round(buffer * _TICK * rate / _KIBIBYTE) * _KIBIBYTE, mpu, peak)
