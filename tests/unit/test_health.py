from __future__ import annotations

import subprocess
import threading
import time
from typing import Any, cast

from testbed.control import controller
from testbed.control.controller import Watch
from testbed.control.health import FAILURES, HealthChecker, ended
from testbed.fabric.running import ConnectorInstance

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
    monkeypatch.setattr(controller, "INTERVAL", 30)
    watch = Watch("bed", cast("Any", None), cast("Any", None), threading.Event())
    with subprocess.Popen(["sleep", "60"]) as process:
        watch._processes = {"c1-0001": process.pid}
        resting = threading.Thread(target=watch.rest, args=(threading.Event(),))
        resting.start()
        assert resting.is_alive()
        began = time.monotonic()
        process.kill()
        process.wait()
        resting.join(10)
    assert not resting.is_alive()
    assert time.monotonic() - began < 1
