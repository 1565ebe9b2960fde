"""How long a firewall rule takes from the request for it until it is enforced, as packets see it."""

from __future__ import annotations

import itertools
import json
import select
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from testbed.kernel import namespace
from tests.bench.data_path import space_of
from tests.bench.figures import Figure
from tests.bench.setting import Setting
from tests.e2e.program import Program

PRESENT = 100
"""Rules that are there already."""
_SENDER, _RECEIVER = "vm-us", "vm-europe"
_PORT = 7000
_EVERY = 0.0005
"""Seconds between two packets of the probe: as exact as what it measures is known."""
_PATIENCE = 5.0
_PROJECT = "demo-project"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds for one rule."""

    enforced: float
    """From the request to the first packet that the rule lets through."""
    answered: float
    """From the request to the answer, which says DONE."""


def measure(setting: Setting) -> Iterator[Figure]:
    """Medians over several rules, with `PRESENT` others there, on the example."""
    bed = setting.example_up()
    endpoint = bed.json("env")["TESTBED_ENDPOINT"]
    rules = f"{endpoint}/compute/v1/projects/{_PROJECT}/global/firewalls"
    for index in range(PRESENT):
        _call("POST", rules, _rule(f"present-{index}", f"tcp:{8000 + index}"))
    with _probe(bed) as receiver:
        times = [_one(rules, receiver, _PORT + index) for index in range(setting.repeats)]
    for index in range(PRESENT):
        _call("DELETE", f"{rules}/present-{index}")
    yield Figure("a rule, from the request until it is enforced", median(one.enforced for one in times), "s")
    yield Figure("a rule, from the request to DONE", median(one.answered for one in times), "s")


def _one(rules: str, receiver: socket.socket, port: int) -> Times:
    _drain(receiver)
    began = time.monotonic()
    answered: list[float] = []

    def request() -> None:
        _call("POST", rules, _rule(f"bench-{port}", "udp:7000"))
        answered.append(time.monotonic() - began)

    caller = threading.Thread(target=request)
    caller.start()
    ready, _, _ = select.select([receiver], [], [], _PATIENCE)
    enforced = time.monotonic() - began
    caller.join()
    if not ready:
        raise TimeoutError("no packet came through")
    _call("DELETE", f"{rules}/bench-{port}")
    return Times(enforced, answered[0])


def _rule(name: str, match: str) -> dict[str, Any]:
    protocol, port = match.split(":")
    return {
        "name": name,
        "network": "global/networks/vpc",
        "sourceRanges": ["10.128.0.0/20"],
        "allowed": [{"IPProtocol": protocol, "ports": [port]}],
    }


def _call(verb: str, url: str, body: dict[str, Any] | None = None) -> None:
    """One request; its answer must say that the operation is done."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=verb)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
        status = json.load(answer)["status"]
    if status != "DONE":
        raise RuntimeError(f"{verb} {url} is {status}")


@contextmanager
def _probe(bed: Program) -> Iterator[socket.socket]:
    """A socket of the receiver, to which the sender sends a packet twice a millisecond, each from a port of its own.

    A new port is a new connection to the firewall: what it has let through once, it would go on letting through.
    """
    spaces = [space_of(bed, node) for node in (_SENDER, _RECEIVER)]
    stop = threading.Event()
    with closing(namespace.socket_in(spaces[1], socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        receiver.bind(("10.132.0.2", _PORT))
        receiver.setblocking(False)
        sender = threading.Thread(target=namespace.inside, args=(spaces[0], lambda: _send(stop)))
        sender.start()
        try:
            yield receiver
        finally:
            stop.set()
            sender.join()


def _send(stop: threading.Event) -> None:
    for port in itertools.cycle(range(20_000, 60_000)):
        if stop.wait(_EVERY):
            return
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
            sender.bind(("10.128.0.2", port))
            sender.sendto(b"?", ("10.132.0.2", _PORT))


def _drain(receiver: socket.socket) -> None:
    """Read what has arrived before, until nothing comes any more: the last rule is gone."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        ready, _, _ = select.select([receiver], [], [], 0.2)
        if not ready:
            return
        receiver.recv(16)
    raise TimeoutError("packets still come through without a rule")
