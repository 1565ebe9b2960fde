from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from testbed.control import controller
from testbed.control.controller import Watch
from testbed.control.realise.executor import Executor
from testbed.control.watch.health import FAILURES, HealthChecker, ended
from testbed.fabric.allocation.running import ConnectorInstance, Health
from tests.waiting import PATIENCE

HEALTHY = ConnectorInstance("c1-0001", "c1", "10.8.0.2", "healthy")
STARTING = ConnectorInstance("c1-0001", "c1", "10.8.0.2", "starting")


def test_one_success_makes_healthy_and_failures_in_a_row_unhealthy() -> None:
    checker = HealthChecker()
    assert checker.judge(STARTING, ok=False) == "starting"
    assert checker.judge(STARTING, ok=True) == "healthy"
    found = [checker.judge(HEALTHY, ok=False) for _ in range(FAILURES)]
    assert found == ["healthy"] * (FAILURES - 1) + ["unhealthy"]


def test_an_instance_that_has_ended_is_unhealthy_without_a_probe() -> None:
    assert HealthChecker().round([HEALTHY], {}, {"c1-0001"}) == {"c1-0001": "unhealthy"}


def test_processes_that_have_ended_are_known() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert ended({"a": process.pid}) == set()
        process.kill()
    assert ended({"a": process.pid}) == {"a"}


def test_the_next_round_begins_when_an_instance_ends(monkeypatch: Any) -> None:
    monkeypatch.setattr(controller, "INTERVAL", 10 * PATIENCE)
    watch = Watch("bed", cast("Any", None), Executor(), threading.Event())
    with subprocess.Popen(["sleep", "60"]) as process:
        watch._processes = {"c1-0001": process.pid}
        resting = threading.Thread(target=watch.rest, args=(threading.Event(),), daemon=True)
        resting.start()
        assert resting.is_alive()
        process.kill()
        process.wait()
        resting.join(PATIENCE)
    assert not resting.is_alive()


class Silent:
    """In the reconciler's place: probes that nobody answers until a test says so."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.noted: list[Mapping[str, Health]] = []
        self.pids = {"c1-0001": 1}
        self.store = SimpleNamespace(nodes=SimpleNamespace(processes=lambda: self.pids))

    def checks(self, _: object) -> Callable[[], dict[str, Health]]:
        return lambda: {"c1-0001": "healthy"} if self.answered.wait(PATIENCE) else {}

    def note(self, found: Mapping[str, Health]) -> Mapping[str, Health]:
        self.noted.append(found)
        return found


def test_probes_hold_nobody_up() -> None:
    wake = threading.Event()
    watch, silent = Watch("bed", cast("Any", None), Executor(), wake), Silent()
    for _ in range(3):
        watch._probe(cast("Any", silent), cast("Any", None))
    assert silent.noted == [{}, {}, {}]
    silent.answered.set()
    assert wake.wait(PATIENCE)  # the next round is due at once
    assert watch._probe(cast("Any", silent), cast("Any", None)) == {"c1-0001": "healthy"}
    watch.close()


def test_an_answer_of_a_process_that_has_gone_does_not_count() -> None:
    wake = threading.Event()
    watch, silent = Watch("bed", cast("Any", None), Executor(), wake), Silent()
    watch._probe(cast("Any", silent), cast("Any", None))
    silent.pids = {"c1-0001": 2}
    silent.answered.set()
    assert wake.wait(PATIENCE)
    assert watch._probe(cast("Any", silent), cast("Any", None)) == {}
    watch.close()
