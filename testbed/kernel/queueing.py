"""What gives devices their queueing disciplines as planned, and what these have dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from testbed.fabric.plan import Htb, HtbClass, Namespace, Qdisc, Tbf, TokenBucket
from testbed.kernel import netlink
from testbed.kernel.change import KernelChange, KernelStep, NetlinkRequest, Verb
from testbed.kernel.namespace import inside
from testbed.kernel.queueing_messages import (
    Foreign,
    class_removal,
    drops,
    htb,
    htb_class,
    queue,
    removal,
    tbf,
)

State = frozenset[Qdisc | Foreign]
"""What the devices of a namespace have."""


def dropped(path: str) -> Mapping[tuple[str, int], int]:
    """How many packets the queues in a namespace have dropped, by device and class; a `Tbf` has the class 1.

    Raises:
        NotFound: there is no such namespace.
    """
    return inside(path, lambda: drops(netlink.read()))


def steps(space: Namespace, actual: State) -> Iterator[KernelStep]:
    """The steps that turn `actual` into what the plan says.

    In a node's namespace, what others have given devices that the plan does not speak of is left alone.
    """
    wanted = {qdisc.device: qdisc for qdisc in space.qdiscs}
    there = {qdisc.device: qdisc for qdisc in actual}
    for device in sorted(there.keys() - wanted.keys()):
        have = there[device]
        if not (space.node and isinstance(have, Foreign) and not have.ours):
            yield _step(space.name, "delete", device, _kind(have), removal(device))
    for device in sorted(wanted):
        if wanted[device] != there.get(device):
            yield from _replacement(space.name, wanted[device], there.get(device))


def _replacement(namespace: str, want: Qdisc, have: Qdisc | Foreign | None) -> Iterator[KernelStep]:
    verb: Verb = "add" if have is None else "replace"
    if isinstance(want, Tbf):
        if have is not None and not isinstance(have, Tbf):
            yield _step(namespace, "delete", want.device, _kind(have), removal(want.device), reported=False)
        what = f"tbf {_bucket(want.bucket)} queue {want.queue}"
        yield _step(namespace, verb, want.device, what, tbf(want))
        yield _step(namespace, verb, want.device, what, queue(want.device, 1, want.queue), reported=False)
        return
    if not isinstance(have, Htb):
        if have is not None:
            yield _step(namespace, "delete", want.device, _kind(have), removal(want.device), reported=False)
        yield _step(namespace, verb, want.device, "htb", htb(want.device))
    known = have.classes if isinstance(have, Htb) else frozenset[HtbClass]()
    yield from _classes(namespace, want, known)


def _classes(namespace: str, want: Htb, known: frozenset[HtbClass]) -> Iterator[KernelStep]:
    numbers = {one.minor for one in known}
    for one in sorted(want.classes - known, key=lambda one: one.minor):
        verb: Verb = "replace" if one.minor in numbers else "add"
        what = f"class {one.minor} {_bucket(one.bucket)} queue {one.queue}"
        yield _step(namespace, verb, want.device, what, htb_class(want.device, one))
        yield _step(namespace, verb, want.device, what, queue(want.device, one.minor, one.queue), reported=False)
    for minor in sorted(numbers - {one.minor for one in want.classes}):
        yield _step(namespace, "delete", want.device, f"class {minor}", class_removal(want.device, minor))


def _step(
    namespace: str, verb: Verb, device: str, what: str, request: NetlinkRequest, *, reported: bool = True
) -> KernelStep:
    return KernelStep(request, KernelChange(namespace, verb, "qdisc", f"{device}: {what}"), reported)


def _kind(qdisc: Qdisc | Foreign) -> str:
    return qdisc.kind if isinstance(qdisc, Foreign) else type(qdisc).__name__.lower()


def _bucket(bucket: TokenBucket) -> str:
    peak = f" peak {bucket.peak}" if bucket.peak else ""
    return f"{bucket.rate} bytes/s{peak} burst {bucket.burst} mpu {bucket.mpu}"
