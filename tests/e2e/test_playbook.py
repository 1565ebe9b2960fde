"""Playbooks about this host, run for real."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.errors import Aborted, Unavailable
from testbed.nodes.playbook import BIN, Event, command_line, run_playbook
from testbed.paths import PLAYBOOKS
from tests.waiting import PATIENCE, eventually

PAUSE = f"{{pause: {{seconds: {10 * PATIENCE:.0f}}}}}"
"""A task that does not end by itself in time."""


@pytest.fixture
def playbook(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a playbook with these tasks."""

    def write(tasks: str) -> Path:
        path = tmp_path / "playbook.yml"
        path.write_text(f"- {{hosts: localhost, connection: local, gather_facts: false, tasks: [{tasks}]}}")
        return path

    return write


def ansible(path: Path) -> list[int]:
    """The processes that run this playbook."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(path).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
    return found


def is_stopped(path: Path) -> None:
    eventually(lambda: not ansible(path), "the end of Ansible's processes")


def test_each_step_is_reported_in_the_calling_thread(playbook: Callable[[str], Path]) -> None:
    seen: list[tuple[int, Event]] = []
    path = playbook("{name: a, command: 'true'}, {name: b, command: 'true', when: false}")
    run_playbook(path, lambda event: seen.append((threading.get_ident(), event)))
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    steps = [(event.node, event.task, event.status) for _, event in seen]
    assert steps == [
        ("localhost", "a", "started"),
        ("localhost", "a", "changed"),
        ("localhost", "b", "started"),
        ("localhost", "b", "skipped"),
    ]


def test_a_failure_names_the_node_the_task_and_the_reason(playbook: Callable[[str], Path]) -> None:
    path = playbook("{name: try it, raw: 'echo no luck >&2; exit 3'}")
    with pytest.raises(Unavailable) as caught:
        run_playbook(path, lambda _: None)
    assert caught.value.message == "node localhost: task 'try it' failed: no luck"
    assert caught.value.hint == f"to run it again by hand: {command_line(path, None, None, become=False)}"


def test_the_reason_is_told_although_the_task_hides_its_result(playbook: Callable[[str], Path]) -> None:
    path = playbook("{name: hidden, fail: {msg: because}, no_log: true}")
    with pytest.raises(Unavailable, match="'hidden' failed: because"):
        run_playbook(path, lambda _: None)


def test_a_playbook_that_ansible_cannot_read(playbook: Callable[[str], Path]) -> None:
    with pytest.raises(Unavailable, match="no_such_module"):
        run_playbook(playbook("{no_such_module: {}}"), lambda _: None)


def test_it_needs_no_activated_environment_and_no_locale(
    playbook: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"].split(os.pathsep)
    monkeypatch.setenv("PATH", os.pathsep.join(folder for folder in path if Path(folder) != BIN))
    monkeypatch.setenv("LC_ALL", "C")
    run_playbook(playbook("{command: 'true'}"), lambda _: None)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_ansible(playbook: Callable[[str], Path]) -> None:
    path = playbook(PAUSE)

    def press(event: Event) -> None:
        assert event.status == "started"
        assert ansible(path)
        threading.Thread(target=interrupt).start()

    with pytest.raises(KeyboardInterrupt):
        run_playbook(path, press)
    is_stopped(path)


def test_an_error_of_the_reporter_stops_ansible(playbook: Callable[[str], Path]) -> None:
    path = playbook(PAUSE)

    def fail(_event: Event) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_playbook(path, fail)
    is_stopped(path)


def test_another_thread_can_stop_it(playbook: Callable[[str], Path]) -> None:
    path = playbook(PAUSE)
    cancelled = threading.Event()
    with pytest.raises(Aborted):
        run_playbook(path, lambda _: cancelled.set(), cancelled=cancelled)
    is_stopped(path)


def test_a_prepared_host_is_left_as_it_is() -> None:
    seen: list[Event] = []
    run_playbook(PLAYBOOKS / "host.yml", seen.append)
    assert {event.status for event in seen} == {"started", "ok", "skipped"}
