"""`kill -9` of `testbed up` at any moment: `down` leaves nothing afterwards, and `up` makes a working testbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.program import Program
from tests.e2e.small import file, program, small, start, traces
from tests.sample import SEED, size

KILLS = size(4, 20)
LANES = 2
"""Testbeds that are killed side by side: a crash of the one is none of the other's business."""


def moments(seed: int, count: int) -> list[float]:
    """Parts of the duration of an `up`, spread evenly over it, in a random order."""
    chance = random.Random(seed)  # noqa: S311
    found = [(index + chance.random()) / count for index in range(count)]
    chance.shuffle(found)
    return found


def killed(bed: Program, topology: str, part: float, duration: float, *, group: bool) -> float:
    """Start `up` and kill it, alone or with its process group, at a part of its duration; returns that duration.

    If it has come to its end before, it does not take as long as was believed: then all is done anew.
    """
    began = time.monotonic()
    process = start(bed, "up", topology)
    try:
        process.communicate(timeout=part * duration)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        return duration
    duration = time.monotonic() - began
    bed.run("down")
    return killed(bed, topology, part, duration, group=group)


def leaves_nothing(bed: Program) -> None:
    down = bed.run("down", check=False)
    assert down.returncode in (0, 3), down.stderr  # 3: it was killed before there was anything
    assert traces(bed) == []


def works(bed: Program, topology: str) -> None:
    bed.run("up", topology)
    assert bed.invoke("relay", "/vm?fresh=1")["body"]["client"].startswith("10.8.0.")
    status = bed.json("status")
    assert {i["health"] for i in status["instances"]} == {"healthy"}, status
    assert {n["state"] for n in status["nodes"]} == {"running"}, status
    assert status["controller"]


def lane(number: int, folder: Path, parts: list[float]) -> list[str]:
    """Kill `up` at these parts of its duration; what went wrong."""
    wrong = []
    with program(folder, f"kill{number}") as bed:
        topology = file(bed, small(bed.name))
        duration = 5.0
        for index, part in enumerate(parts):
            group = index // 2 % 2 == 1
            duration = killed(bed, topology, part, duration, group=group)
            try:
                if index % 2:
                    works(bed, topology)
                leaves_nothing(bed)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                wrong.append(f"killed {'with its group ' * group}at {part:.3f} of {duration:.1f} s: {error}")
    return wrong


@pytest.mark.sampled
@pytest.mark.timeout(600 + 60 * KILLS)
def test_up_is_killed_at_any_moment(tmp_path: Path) -> None:
    parts = moments(SEED, KILLS)
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(lane, number, tmp_path, parts[number::LANES]) for number in range(LANES)]
        wrong = [problem for one in lanes for problem in one.result()]
    assert wrong == []
