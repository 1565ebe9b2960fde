"""Every run of the tests ends with this check: what is on the host afterwards was there before.

Where several processes share the tests, the one that started them looks, before the first and after the last.

Only what the tests could have left is looked at.  The host's iptables rules are never the testbed's business: one that
is gone is as bad as one that is new.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.tally import is_worker
from tests.waiting import PATIENCE

Snapshot = Mapping[str, frozenset[str]]

GRACE = 30.0
"""Seconds: the kernel takes a namespace's devices down after the last process has left it, not at once."""
COUNTERS = re.compile(r" ?\[\d+:\d+\] ?")
SNAPSHOT = pytest.StashKey[Snapshot]()
FOUND = pytest.StashKey[list[str]]()


def _lines(*command: str) -> list[str]:
    """What a command prints, line by line; nothing where there is no such tool, or where it may not be used."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines()


def _namespaces() -> frozenset[str]:
    folder = Path("/run/netns")
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def _links() -> frozenset[str]:
    return frozenset(entry.name for entry in Path("/sys/class/net").iterdir())


def _rules() -> frozenset[str]:
    """The rules of the host, each with its table, without counters and dates."""
    rules: set[str] = set()
    table = ""
    for line in _lines("iptables-save"):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith((":", "-A")):
            rules.add(f"{table}: {COUNTERS.sub(' ', line).strip()}")
    return frozenset(rules)


def _containers() -> frozenset[str]:
    return frozenset(_lines("docker", "ps", "-a", "--filter", "label=dev.testbed.name", "--format", "{{.Names}}"))


def _mounts() -> frozenset[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return frozenset(point for point in points if point.startswith("/run/netns/tb-"))


def _servers() -> frozenset[str]:
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
        if "testbed serve" in command and int(process.name) != os.getpid():
            found.add(f"{process.name} {command}")
    return frozenset(found)


LOOK: Mapping[str, Callable[[], frozenset[str]]] = {
    "network namespace": _namespaces,
    "link of the host": _links,
    "iptables rule of the host": _rules,
    "ipset of the host": lambda: frozenset(_lines("ipset", "list", "-n")),
    "container": _containers,
    "mount": _mounts,
    "process": _servers,
}


def snapshot() -> Snapshot:
    """What is there now, by kind."""
    return {kind: look() for kind, look in LOOK.items()}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """One line for each thing that is new, and for each rule of the host that is gone."""
    found = [f"left behind: {kind} {name}" for kind in LOOK for name in sorted(after[kind] - before[kind])]
    rules = "iptables rule of the host"
    return found + [f"gone: {rules} {rule}" for rule in sorted(before[rules] - after[rules])]


def take_down(folder: Path) -> None:
    """Take down the testbeds whose state is in the folder of a run that was cut short.

    Processes that share the tests are ended ten seconds after Ctrl-C, whatever they had still to take down.
    """
    for state in sorted(folder.rglob("state/*/state.db")):
        variables = {**os.environ, "TESTBED_STATE": str(state.parent.parent)}
        command = [sys.executable, "-m", "testbed", "down", "--name", state.parent.name]
        subprocess.run(command, env=variables, capture_output=True, check=False)  # what is left is told of


def pytest_sessionstart(session: pytest.Session) -> None:
    if is_worker(session.config):
        return
    session.config.stash[SNAPSHOT] = snapshot()


@pytest.hookimpl(trylast=True)  # after the session's fixtures are torn down
def pytest_sessionfinish(session: pytest.Session) -> None:
    if is_worker(session.config):
        return
    if session.exitstatus == pytest.ExitCode.INTERRUPTED:
        take_down(Path(vars(session.config)["_tmp_path_factory"].getbasetemp()))
    before = session.config.stash[SNAPSHOT]
    deadline = time.monotonic() + GRACE
    while (found := differences(before, snapshot())) and time.monotonic() < deadline:
        time.sleep(0.1)
    session.config.stash[FOUND] = found
    if found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash.get(FOUND, []):
        terminalreporter.section("the tests left something behind: the run has failed", red=True)
        for line in found:
            terminalreporter.write_line(line, red=True)
