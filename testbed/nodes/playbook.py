"""Runs an Ansible playbook, and tells what happens while it happens.

ansible-runner forks, and a process with threads must not: a lock that another thread holds would stay locked in the
child for ever.  So it is a program of its own here, which has one thread, and tells its events line by line.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shlex
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from testbed import descendants
from testbed.errors import Aborted, Unavailable
from testbed.paths import PLAYBOOKS

CONFIGURATION = PLAYBOOKS / "ansible.cfg"
BIN = Path(sys.executable).parent
"""Ansible's programs are beside the interpreter, whether its virtual environment is activated or not."""

Status = Literal["started", "ok", "changed", "skipped", "failed", "unreachable"]
_STATUS: Mapping[str, Status] = {
    "runner_on_start": "started",
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}
_CHOICE = "include_role"
"""The task by which a node gets its role; that role's own tasks are what there is to tell."""
RUN = "run-"
"""How the names of the folders begin that a run works in."""
_HOME = "ANSIBLE_HOME"
POLL = 0.2
"""Seconds between two looks at whether the run was cancelled, or Ctrl-C was pressed."""


class TaskFailed(Unavailable):
    """A task failed, or a node could not be reached."""

    nodes: frozenset[str] = frozenset()
    """The nodes that it failed on, if it came as far as that."""


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one task on one node.

    A task that handles a secret is `ok` whether it changed something or not: Ansible tells no more about it.
    """

    node: str
    role: str
    """Empty for a task that belongs to no role."""
    task: str
    status: Status
    message: str = ""
    """Why, if the task failed or the node is unreachable."""


def run_playbook(
    path: Path,
    report: Callable[[Event], None],
    *,
    inventory: Path | None = None,
    limit: Collection[str] | None = None,
    become: bool = False,
    cancelled: threading.Event | None = None,
) -> None:
    """Run a playbook on the nodes of an inventory file, all or some; without one it can only be about this host.

    `report` is called in the calling thread.  An exception in it, or Ctrl-C, stops the run and reaches the caller;
    `cancelled` stops it from another thread.  What ansible-runner writes while it works (the whole environment, for
    one thing) is in a folder of our own next to the inventory, and is gone afterwards.

    Raises:
        Aborted: `cancelled` was set.
        Unavailable: a task failed, a node could not be reached, or Ansible could not start; says which, where and why.
    """
    failures: list[Event] = []
    output: deque[str] = deque(maxlen=20)
    cancelled = cancelled or threading.Event()

    def handle(raw: Mapping[str, Any]) -> None:
        output.append(raw.get("stdout", ""))
        if (event := event_of(raw)) is not None:
            report(event)
            if event.message:
                failures.append(event)

    with tempfile.TemporaryDirectory(prefix=RUN, dir=inventory.parent if inventory else None) as folder:
        status = _run(_program(folder, path, inventory, limit, become=become), folder, handle, cancelled)
    if status != 0:
        if cancelled.is_set():
            raise Aborted(f"playbook {path.name}: it was stopped before its end", hint="run the command again")
        error = TaskFailed(
            "\n".join(_sentence(failure) for failure in failures) or "\n".join(filter(None, output)),
            hint=f"to run it again by hand: {command_line(path, inventory, limit, become=become)}",
        )
        error.nodes = frozenset(failure.node for failure in failures)
        raise error


def command_line(path: Path, inventory: Path | None, limit: Collection[str] | None, *, become: bool) -> str:
    """The same run for a shell, whatever the user's locale, PATH and current folder are."""
    arguments = ["env", "LC_ALL=C.UTF-8", f"ANSIBLE_CONFIG={CONFIGURATION}", str(BIN / "ansible-playbook")]
    arguments += ["-i", str(inventory)] if inventory else []
    arguments += ["--limit", ",".join(sorted(limit))] if limit is not None else []
    arguments += ["--become"] if become else []
    return shlex.join([*arguments, str(path)])


def event_of(raw: Mapping[str, Any]) -> Event | None:
    """What one of ansible-runner's events says about a task on a node, if it does."""
    status = _STATUS.get(raw.get("event", ""))  # ansible-runner may lose what an event was about: its file is late
    if status is None:
        return None
    data = raw["event_data"]
    if data.get("task_action") == _CHOICE and status in ("started", "ok"):
        return None
    result = data.get("res") or {}
    if status == "ok" and result.get("changed"):
        status = "changed"
    failed = status in ("failed", "unreachable") and not data.get("ignore_errors")
    reason = _reason(result, raw.get("stdout", "")) if failed else ""
    return Event(data["host"], data.get("role") or "", data["task"], status, reason)


def _reason(result: Mapping[str, Any], stdout: str) -> str:
    """The module's message, or what a command printed.

    The result of a task that handles a secret is hidden (no_log), Ansible's own sentence about the error is not.
    """
    printed = "\n".join(str(result.get(stream) or "").strip() for stream in ("stderr", "stdout")).strip()
    message = str(result.get("msg") or "")
    if printed and message in ("", "non-zero return code"):
        return printed
    found = re.search(r"\[ERROR\]: (?:Task failed: )?(?:Action failed: )?(.*)", stdout)
    return message or (found[1].strip() if found else "it does not say why")


def _sentence(event: Event) -> str:
    task = f"{event.role} : {event.task}" if event.role else event.task
    return f"node {event.node}: task '{task}' {event.status}: {event.message}"


def _environment(folder: str) -> dict[str, str]:
    """Variables that Ansible needs in addition to our own environment."""
    return {
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "LC_ALL": "C.UTF-8",  # Ansible does not start where the locale is not UTF-8
        "ANSIBLE_CONFIG": str(CONFIGURATION),
        _HOME: folder,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }


def _program(
    folder: str, path: Path, inventory: Path | None, limit: Collection[str] | None, *, become: bool
) -> list[str]:
    """The command line of ansible-runner, which works in `folder`."""
    arguments = ["--json", "--playbook", str(path)]
    arguments += ["--inventory", str(inventory)] if inventory else []
    arguments += ["--limit", ",".join(sorted(limit))] if limit is not None else []
    arguments += ["--cmdline=--become"] if become else []
    return [sys.executable, "-P", "-m", "ansible_runner", "run", *arguments, folder]


def _run(
    program: Sequence[str], folder: str, handle: Callable[[Mapping[str, Any]], None], cancelled: threading.Event
) -> int:
    """The exit status of ansible-runner; its events are handled here as they come."""
    # In a session of its own, so that Ctrl-C reaches us alone: it would end without ending Ansible.
    with subprocess.Popen(
        program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **_environment(folder)},
        start_new_session=True,
    ) as process:
        try:
            for line in _lines(process, cancelled):
                handle(_read(line))
        except BaseException:
            descendants.end(_HOME, folder)  # Ansible and its workers have sessions of their own, too
            raise
        if cancelled.is_set():
            descendants.end(_HOME, folder)
    return process.returncode


def _lines(process: subprocess.Popen[bytes], cancelled: threading.Event) -> Iterator[str]:
    """What a program prints, line by line, until it has ended or the run is cancelled.

    No wait is longer than `POLL`: a signal that comes just before one does not interrupt it.
    """
    if process.stdout is None:
        return
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        unfinished = b""
        while not cancelled.is_set():
            if not selector.select(POLL):
                continue
            if not (data := os.read(process.stdout.fileno(), 65536)):
                break
            *lines, unfinished = (unfinished + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
    if unfinished:
        yield unfinished.decode(errors="replace")


def _read(line: str) -> Mapping[str, Any]:
    """An event of ansible-runner's; what is none was printed before the first one, or is its own last word."""
    try:
        raw = json.loads(line)
    except ValueError:
        raw = None
    return raw if isinstance(raw, dict) else {"stdout": line.rstrip()}
