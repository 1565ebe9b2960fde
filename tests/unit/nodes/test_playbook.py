from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from testbed.nodes.playbook import Event, command_line, event_of

HIDDEN = {"censored": "the output has been hidden due to the fact that 'no_log: true' was specified for this result"}
STDOUT = "\r\n[ERROR]: Task failed: Action failed: /etc/redis/testbed.conf: mktemp: Permission denied\r\nOrigin: /x"


def raw(kind: str, stdout: str = "", **data: Any) -> dict[str, Any]:
    return {"event": kind, "stdout": stdout, "event_data": {"host": "n", "task": "t", "role": "redis"} | data}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (raw("runner_on_start"), ("started", "")),
        (raw("runner_on_ok", res={"changed": False}), ("ok", "")),
        (raw("runner_on_ok", res={"changed": True}), ("changed", "")),
        (raw("runner_on_ok", res=HIDDEN), ("ok", "")),
        (raw("runner_on_skipped", res={"changed": False}), ("skipped", "")),
        (raw("runner_on_failed", res={"msg": "No package"}), ("failed", "No package")),
        (
            raw("runner_on_failed", res={"msg": "non-zero return code", "stderr": "a\n", "stdout": "b\n"}),
            ("failed", "a\nb"),
        ),
        (raw("runner_on_failed", STDOUT, res=HIDDEN), ("failed", "/etc/redis/testbed.conf: mktemp: Permission denied")),
        (raw("runner_on_failed", res={"msg": "x"}, ignore_errors=True), ("failed", "")),
        (raw("runner_on_unreachable", res={"msg": "no container"}), ("unreachable", "no container")),
        (raw("runner_on_failed", res={}), ("failed", "it does not say why")),
    ],
)
def test_what_an_event_of_ansible_runner_means(event: dict[str, Any], expected: tuple[str, str]) -> None:
    status, message = expected
    found = event_of(event)
    assert found is not None
    assert (found.node, found.role, found.task, found.status, found.message) == ("n", "redis", "t", status, message)


def test_an_event_that_is_about_no_node_is_none_of_ours() -> None:
    assert event_of({"event": "playbook_on_start", "event_data": {}}) is None


def test_a_task_without_a_role() -> None:
    assert event_of(raw("runner_on_start", role=None)) == Event("n", "", "t", "started")


def test_the_command_to_run_it_again_survives_a_shell() -> None:
    words = shlex.split(command_line(Path("/p q/nodes.yml"), Path("/s/inventory.yml"), ["a", "b"], become=False))
    assert words[0] == "env"
    assert words[-5:] == ["-i", "/s/inventory.yml", "--limit", "a,b", "/p q/nodes.yml"]
    assert "--become" in command_line(Path("/p"), None, None, become=True)


def test_an_event_whose_file_is_late_is_nobodys() -> None:
    """ansible-runner hands out what it has of an event, which may be no more than its number."""
    assert event_of({"uuid": "a", "counter": 7, "stdout": ""}) is None
