"""How many new connections a firewall takes, with few rules and with many: ratios, measured turn by turn in one run."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from statistics import median
from typing import Any

from testbed.fabric.plan import Plan
from testbed.kernel import namespace
from testbed.kernel.apply import adjust, apply
from tests.bench.figures import Figure, ratio, taken
from tests.bench.setting import Setting
from tests.kernel.spaces import Paths, spaces
from tests.unit.topologies import compute, network, plan, small, subnet, vm

FEW, MANY = 10, (1000, 5000)
_RECEIVER, _PORT = "10.128.0.3", 7000
_BATCH = 2000
"""TCP connections in one measurement, one after the other."""
_RESET = struct.pack("ii", 1, 0)
"""What SO_LINGER takes, so that a closed connection is forgotten at once (socket(7))."""


def measure(setting: Setting) -> Iterator[Figure]:
    """New connections with many rules, as a share of those with few; seconds for one change among the most rules."""
    plans = {count: _with_rules(count) for count in (FEW, *MANY)}
    with _network(plans[FEW]) as paths:
        took: dict[int, list[float]] = {count: [] for count in plans}
        now = FEW
        for _ in range(setting.repeats):
            for count, wanted in plans.items():
                _change(plans[now], wanted, paths)
                now = count
                took[count].append(_connections(paths))
        changes = [taken(partial(_change_one, plans[now], now, last, paths)) for last in ("x", "z")]
    for count in MANY:
        what = f"new connections with {count} rules, as a share of those with {FEW}"
        yield Figure(what, ratio(took[FEW], took[count]))
    yield Figure(f"a change of one rule among {now}", median(changes), "s")


def _with_rules(count: int, last: str = "y") -> Plan:
    """A network whose last rule, of `count`, is the one that lets the connections through."""
    rules: list[dict[str, Any]] = [
        {
            "name": f"r{number}",
            "network": "vpc",
            "priority": 1 + number,
            "allowed": f"tcp:{1 + number % 900}",
            "sourceRanges": [f"172.{16 + number % 2}.{number % 200}.0/24", f"10.{number % 200}.{number // 200}.0/24"],
            **({"targetTags": ["web" if number % 3 else "db"]} if number % 4 else {}),
        }
        for number in range(count - 1)
    ]
    rules.append(
        {
            "name": f"last-{last}",
            "network": "vpc",
            "priority": 60_000,
            "allowed": f"tcp:{_PORT}",
            "sourceRanges": ["10.128.0.0/20"],
        }
    )
    machines = [vm("a", tags={"items": ["web"]}), vm("b", tags={"items": ["web", "db"]})]
    resources = compute(networks=[network()], subnetworks=[subnet()], instances=machines, firewalls=rules)
    return plan(small(compute=resources, vpcaccess={}, run={}))


@contextmanager
def _network(of: Plan) -> Iterator[Paths]:
    with spaces(*(space.name for space in of.namespaces)) as paths:
        apply(of, paths)
        yield paths


def _change(old: Plan, new: Plan, paths: Paths) -> None:
    before = {space.name: space for space in old.namespaces}
    for space in new.namespaces:
        if before[space.name] != space:
            adjust(before[space.name], space, paths[space.name])


def _change_one(old: Plan, count: int, last: str, paths: Paths) -> None:
    """Compile and enforce rules of which one has another name."""
    _change(old, _with_rules(count, last), paths)


def _connections(paths: Paths) -> float:
    """Seconds that a batch of connections takes, one after the other."""
    with closing(namespace.socket_in(paths["b"], socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.bind((_RECEIVER, _PORT))
        listener.listen(1)

        def batch() -> None:
            for _ in range(_BATCH):
                with closing(socket.create_connection((_RECEIVER, _PORT), 5)) as client:
                    server, _ = listener.accept()
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    server.close()

        return namespace.inside(paths["a"], lambda: taken(batch))
