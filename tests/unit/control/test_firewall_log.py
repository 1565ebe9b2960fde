"""What of the firewall's log is written down, and what is refused where the kernel has no log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.cli.log_lines import line
from testbed.control.watch import firewall_log
from testbed.control.watch.firewall_log import INTERVAL, LIMIT, Limiter, require
from testbed.errors import Unimplemented
from testbed.fabric.firewall.log_records import LoggedConnection, Records
from tests.unit.topologies import compute, running, small, space, table_rules, topology, vm
from tests.unit.topologies import plan as compiled

VPC = "projects/p/global/networks/vpc"
FLOW = LoggedConnection("10.0.0.2", 40000, "10.0.0.3", 80, 6)
RULE = {"name": "r", "network": "vpc", "allowed": "all", "logConfig": {"enable": True}}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_connection_passes_once_in_an_interval() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    assert limiter.passes("n", "vm", "r", FLOW)
    clock.now = INTERVAL - 1
    assert not limiter.passes("n", "vm", "r", FLOW)
    assert limiter.passes("n", "vm", "s", FLOW)
    assert limiter.passes("m", "vm", "r", FLOW)
    assert limiter.passes("n", "vm", "r", replace(FLOW, source_port=40001))
    clock.now = 10 * INTERVAL
    assert limiter.passes("n", "vm", "r", FLOW)


def test_a_machine_has_a_limit() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    flows = [replace(FLOW, source_port=port) for port in range(2 * LIMIT)]
    assert sum(limiter.passes("n", "vm", "r", flow) for flow in flows) == LIMIT
    assert limiter.passes("n", "another", "r", flows[-1])
    clock.now = INTERVAL
    assert limiter.passes("n", "vm", "r", flows[-2])


def test_a_rule_that_cannot_be_logged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall_log, "_refusal", lambda: "no chain/target/match by that name")
    require(small())
    require(topology(compute=compute(firewalls=[{**RULE, "disabled": True}])))
    with pytest.raises(Unimplemented, match="firewall rule r: this kernel cannot log it: no chain"):
        require(topology(compute=compute(firewalls=[RULE])))


def test_what_a_logged_rule_is_compiled_to() -> None:
    quiet = {**RULE, "name": "q", "logConfig": {"enable": False, "metadata": "EXCLUDE_ALL_METADATA"}}
    made = space(compiled(topology(compute=compute(instances=[vm("a")], firewalls=[RULE, quiet]))), "vpc-vpc")
    [one, other, _] = sorted(table_rules(made, "filter", "ingress"), key=lambda text: "-g" not in text)
    assert "--comment r -g logged/" in one
    assert other == "-m comment --comment q -j ACCEPT"
    chain = table_rules(made, "filter", one.split()[-1])
    assert [text.split()[-1] if "NFLOG" not in text else "NFLOG" for text in chain] == ["NFLOG", "NFLOG", "ACCEPT"]


def test_a_record_in_one_line() -> None:
    given = topology(compute=compute(instances=[vm("a")], firewalls=[RULE]))
    entry = Records(given, running(given), VPC).entry("r", FLOW, 0.5)
    assert line(entry) == (
        "1970-01-01T00:00:00.500000Z ALLOWED INGRESS network:vpc/firewall:r 10.0.0.2:40000 -> 10.0.0.3:80 tcp"
    )
